/**
 * A few words where something is still to come, is not there, or went wrong. Used by every page.
 */
import type { ReactNode } from 'react';
import { Link } from './link.tsx';
import './notice.css';

interface NoticeProps {
  title: string;
  busy?: boolean;
  /** Read out at once by screen readers. */
  alert?: boolean;
  onRetry?: () => void;
  /** Offers the way back to the study list. */
  toList?: boolean;
  children?: ReactNode;
}

export function Notice({
  title,
  busy = false,
  alert = false,
  onRetry,
  toList = false,
  children,
}: NoticeProps) {
  return (
    <div className="notice" role={alert ? 'alert' : 'status'} aria-busy={busy}>
      {busy && <span className="notice-spinner" aria-hidden="true" />}
      <p className="notice-title">{title}</p>
      {children !== undefined && <p className="notice-text">{children}</p>}
      {onRetry && (
        <button type="button" className="button" onClick={onRetry}>
          Try again
        </button>
      )}
      {toList && (
        <Link className="button" to="/">
          All studies
        </Link>
      )}
    </div>
  );
}
