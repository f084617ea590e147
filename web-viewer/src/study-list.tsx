/**
 * The first page: every study the archive holds, newest first as the server orders them, and the search over them.
 * Mounted by app.tsx; what is searched for stands in the address, so a search can be shared and gone back to.
 */
import { useEffect } from 'react';
import { About } from './about.tsx';
import { Brand } from './brand.tsx';
import { searchStudies } from './dicomweb.ts';
import { Notice } from './notice.tsx';
import { Pager } from './pager.tsx';
import { navigate } from './route.ts';
import { SearchForm } from './search-form.tsx';
import {
  EVERYTHING,
  isEverything,
  PAGE_SIZE,
  readSearch,
  type StudySearch,
  toQido,
  writeSearch,
} from './study-search.ts';
import { StudyTable } from './study-table.tsx';
import { useAnswer } from './use-answer.ts';
import './study-list.css';

function goTo(search: StudySearch, how: 'push' | 'replace' = 'replace') {
  navigate(`/${writeSearch(search)}`, how);
}

export function StudyList({ query }: { query: string }) {
  const search = readSearch(query);
  const { answer, retry } = useAnswer(query, (signal) => searchStudies(toQido(search), signal));
  const found =
    answer.state === 'answered' ? answer.value : answer.state === 'asking' ? answer.previous : undefined;
  const studies = found?.slice(0, PAGE_SIZE);

  // Whoever comes back to the list wants to see what has arrived since.
  useEffect(() => {
    addEventListener('focus', retry);
    return () => removeEventListener('focus', retry);
  }, [retry]);
  useEffect(() => {
    document.title = 'Studies · Isocenter';
  }, []);

  return (
    <div className="list-page">
      <header className="list-header">
        <Brand />
        <SearchForm search={search} onSearch={(changed) => goTo({ ...changed, page: 0 })} />
      </header>
      <main className="list-main" aria-busy={answer.state === 'asking'}>
        {answer.state === 'failed' ? (
          <Notice alert title="The studies could not be listed." onRetry={retry}>
            {answer.sentence}
          </Notice>
        ) : studies === undefined ? (
          <Notice busy title="Asking the archive" />
        ) : studies.length > 0 ? (
          <StudyTable studies={studies} faded={answer.state === 'asking'} />
        ) : isEverything(search) && search.page === 0 ? (
          <Notice title="No studies yet.">
            Studies appear here as soon as a modality has sent them. The README says how to send a first one.
          </Notice>
        ) : (
          <Notice title="No study matches.">
            Nothing in the archive fits this search.{' '}
            <button type="button" className="text-button" onClick={() => goTo(EVERYTHING)}>
              Show all studies
            </button>
          </Notice>
        )}
      </main>
      <footer className="list-footer">
        <About />
        {studies !== undefined && (
          <Pager
            first={search.page * PAGE_SIZE + 1}
            count={studies.length}
            onBack={search.page > 0 ? () => goTo({ ...search, page: search.page - 1 }, 'push') : undefined}
            onOn={
              found !== undefined && found.length > PAGE_SIZE
                ? () => goTo({ ...search, page: search.page + 1 }, 'push')
                : undefined
            }
          />
        )}
      </footer>
    </div>
  );
}
