/** Mounts the viewer into index.html. */
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { FaultBoundary } from './fault-boundary.tsx';
import './tokens.css';

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no element with the id "root".');
createRoot(root).render(
  <StrictMode>
    <FaultBoundary>
      <App />
    </FaultBoundary>
  </StrictMode>,
);
