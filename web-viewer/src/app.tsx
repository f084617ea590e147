/**
 * The viewer as a whole: the study list, or one study. Mounted by main.tsx.
 * The study view comes in a file of its own, so that the list does not wait for Cornerstone.
 */
import { lazy, Suspense } from 'react';
import { Notice } from './notice.tsx';
import { useRoute } from './route.ts';
import { StudyList } from './study-list.tsx';

const StudyView = lazy(() => import('./study-view.tsx'));

export function App() {
  const route = useRoute();
  if (route.page === 'list') return <StudyList query={route.query} />;
  if (route.page === 'nowhere') {
    return (
      <Notice alert title="There is no page at this address." toList>
        A study is opened by its Study Instance UID: digits and dots.
      </Notice>
    );
  }
  return (
    <Suspense fallback={<Notice busy title="Opening the viewer" />}>
      <StudyView key={route.studyUid} studyUid={route.studyUid} seriesUid={route.seriesUid} />
    </Suspense>
  );
}
