/** The mark and the name; leads back to the study list. */
import { Link } from './link.tsx';

export function Brand({ compact = false }: { compact?: boolean }) {
  return (
    <Link to="/" className="brand" label="Isocenter: all studies">
      <svg
        viewBox="0 0 32 32"
        width="22"
        height="22"
        aria-hidden="true"
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
      >
        <circle cx="16" cy="16" r="9" />
        <path d="M16 2v9M16 21v9M2 16h9M21 16h9" />
        <circle cx="16" cy="16" r="1.4" fill="currentColor" stroke="none" />
      </svg>
      {!compact && <span className="brand-name">Isocenter</span>}
    </Link>
  );
}
