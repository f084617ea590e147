/** The series of the study, one under the other, each with a small picture. Used by study-view.tsx. */
import { formatCount } from './format-count.ts';
import type { Series } from './study.ts';
import { wordsFor } from './study.ts';
import { Thumbnail } from './thumbnail.tsx';

interface SeriesRailProps {
  studyUid: string;
  series: readonly Series[];
  openUid: string | undefined;
  onOpen: (seriesUid: string) => void;
}

export function SeriesRail({ studyUid, series, openUid, onOpen }: SeriesRailProps) {
  return (
    <nav className="series-rail" aria-label="Series">
      {series.map((one) => {
        const words = wordsFor(one.modality);
        const name =
          one.description || words || (one.number === undefined ? 'Series' : `Series ${one.number}`);
        return (
          <button
            key={one.seriesInstanceUid}
            type="button"
            className="series-card"
            aria-current={one.seriesInstanceUid === openUid}
            title={name}
            onClick={() => onOpen(one.seriesInstanceUid)}
          >
            <Thumbnail studyUid={studyUid} series={one} words={words} />
            <span className="series-name">{name}</span>
            <span className="series-facts">
              {one.modality !== '' && <span className="modality">{one.modality}</span>}
              {one.instanceCount !== undefined && (
                <span>{formatCount(one.instanceCount, words === undefined ? 'image' : 'object')}</span>
              )}
              {one.number !== undefined && <span>#{one.number}</span>}
            </span>
          </button>
        );
      })}
    </nav>
  );
}
