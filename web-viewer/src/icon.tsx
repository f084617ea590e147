/** The few signs on the toolbar, drawn here so that nothing is fetched for them. */
const PATHS = {
  window: 'M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14',
  scroll: 'M4 6l6-3 6 3-6 3zM4 10l6 3 6-3M4 14l6 3 6-3',
  zoom: 'M8.5 3.5a5 5 0 1 1 0 10 5 5 0 0 1 0-10zM12.2 12.2L17 17M6.2 8.5h4.6M8.5 6.2v4.6',
  pan: 'M10 2.5v15M2.5 10h15M10 2.5L7.8 4.7M10 2.5l2.2 2.2M10 17.5l-2.2-2.2M10 17.5l2.2-2.2M2.5 10l2.2-2.2M2.5 10l2.2 2.2M17.5 10l-2.2-2.2M17.5 10l-2.2 2.2',
  invert: 'M3.5 3.5h13v13h-13zM3.5 16.5l13-13',
  reset: 'M4 10a6 6 0 1 0 2-4.5M3.6 3v3.2h3.2',
  play: 'M6 4l10 6-10 6z',
  pause: 'M7 4v12M13 4v12',
} as const;

export type IconName = keyof typeof PATHS;

/** Half of the window sign and of the invert sign is filled: bright beside dark is what they are about. */
const FILLED: Partial<Record<IconName, string>> = {
  window: 'M10 3a7 7 0 1 0 0 14z',
  invert: 'M3.5 16.5v-13h13z',
};

export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      viewBox="0 0 20 20"
      width="18"
      height="18"
      aria-hidden="true"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      {FILLED[name] && <path d={FILLED[name]} fill="currentColor" stroke="none" />}
      <path d={PATHS[name]} />
    </svg>
  );
}
