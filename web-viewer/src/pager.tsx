/** Which part of the list is on the page, and the way to the parts before and after. Below the study table. */
interface PagerProps {
  /** Counted from 1. */
  first: number;
  count: number;
  onBack: (() => void) | undefined;
  onOn: (() => void) | undefined;
}

export function Pager({ first, count, onBack, onOn }: PagerProps) {
  return (
    <nav className="pager" aria-label="Pages of the study list">
      <span className="pager-range" aria-live="polite">
        {count === 0 ? 'No studies' : `${first}–${first + count - 1}${onOn || onBack ? '' : ` of ${count}`}`}
      </span>
      <button type="button" className="button" disabled={!onBack} onClick={onBack}>
        Newer
      </button>
      <button type="button" className="button" disabled={!onOn} onClick={onOn}>
        Older
      </button>
    </nav>
  );
}
