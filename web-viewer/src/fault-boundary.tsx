/**
 * Catches what a part of the viewer throws while it is drawn, so that a fault is words on the page and not an empty one.
 * Around the whole of app.tsx.
 */
import { Component, type ReactNode } from 'react';
import { Notice } from './notice.tsx';

interface State {
  failed: boolean;
}

export class FaultBoundary extends Component<{ children: ReactNode }, State> {
  override state: State = { failed: false };

  static getDerivedStateFromError(): State {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <Notice alert title="The viewer stopped here." onRetry={() => location.reload()}>
        A fault of the viewer, or a newer version of it on the server. The studies are not touched by this.
      </Notice>
    );
  }
}
