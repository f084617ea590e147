/** The line that says what this is, and what it is not. At the foot of every page. */
export function About() {
  return <p className="about">Isocenter viewer. Not for diagnostic use.</p>;
}
