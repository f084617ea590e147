/** A link inside the viewer: a real address, so it can be copied or opened in a new tab, followed without a reload. */
import type { MouseEvent, ReactNode } from 'react';
import { navigate } from './route.ts';

interface LinkProps {
  to: string;
  className?: string;
  label?: string;
  children: ReactNode;
}

export function Link({ to, className, label, children }: LinkProps) {
  function follow(event: MouseEvent) {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to);
  }
  return (
    <a href={to} className={className} aria-label={label} onClick={follow}>
      {children}
    </a>
  );
}
