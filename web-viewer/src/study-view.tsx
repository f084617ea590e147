/**
 * One study: its series at the left, the chosen series on the stage, the tools above.
 * Mounted by app.tsx; which series is open stands in the address.
 */
import { useCallback, useEffect, useState } from 'react';
import { About } from './about.tsx';
import { Brand } from './brand.tsx';
import { formatDate } from './dicom-date.ts';
import { findSeries, findStudy, renderedUrl } from './dicomweb.ts';
import { forgetFrames } from './frame-loader.ts';
import { ImageViewport } from './image-viewport.tsx';
import { Notice } from './notice.tsx';
import { navigate, studyAddress } from './route.ts';
import { loadSeriesImages } from './series-images.ts';
import { SeriesRail } from './series-rail.tsx';
import type { Stage, ToolName } from './stage.ts';
import { firstToRead, inSeriesOrder, type Study } from './study.ts';
import { Toolbar } from './toolbar.tsx';
import { useAnswer } from './use-answer.ts';
import { useShortcuts } from './use-shortcuts.ts';
import './study-view.css';

interface StudyViewProps {
  studyUid: string;
  seriesUid: string | undefined;
}

export default function StudyView({ studyUid, seriesUid }: StudyViewProps) {
  const { answer, retry } = useAnswer(studyUid, async (signal) => {
    const [study, series] = await Promise.all([findStudy(studyUid, signal), findSeries(studyUid, signal)]);
    return { study, series: inSeriesOrder(series) };
  });
  const found = answer.state === 'answered' ? answer.value : undefined;
  const open =
    found && (found.series.find((one) => one.seriesInstanceUid === seriesUid) ?? firstToRead(found.series));

  const [stage, setStage] = useState<Stage | undefined>(undefined);
  const [tool, setTool] = useState<ToolName>('window');
  useEffect(() => stage?.chooseTool(tool), [stage, tool]);
  useShortcuts(stage, open?.modality ?? '', setTool);

  const title = found?.study?.patientName;
  useEffect(() => {
    document.title = title ? `${title} · Isocenter` : 'Isocenter';
  }, [title]);
  useEffect(() => forgetFrames, []);
  const openSeries = useCallback(
    (uid: string) => navigate(studyAddress(studyUid, uid), 'replace'),
    [studyUid],
  );

  if (answer.state === 'failed') {
    return (
      <Notice alert title="The study could not be opened." onRetry={retry} toList>
        {answer.sentence}
      </Notice>
    );
  }
  return (
    <div className="study-page">
      <header className="study-header">
        <Brand compact />
        {found?.study && <StudyLine study={found.study} />}
        <Toolbar stage={stage} modality={open?.modality ?? ''} tool={tool} onTool={setTool} />
      </header>
      {found?.study && found.study.held !== '' && <HeldStrip reason={found.study.held} />}
      <aside className="study-rail">
        {found && (
          <SeriesRail
            studyUid={studyUid}
            series={found.series}
            openUid={open?.seriesInstanceUid}
            onOpen={openSeries}
          />
        )}
        <About />
      </aside>
      <main className="study-main">
        {found === undefined ? (
          <Notice busy title="Asking the archive" />
        ) : open === undefined ? (
          <Notice title="This study is not here." toList>
            The archive holds no series of it. It may have been moved, or the link may be old.
          </Notice>
        ) : (
          <OpenSeries
            key={open.seriesInstanceUid}
            studyUid={studyUid}
            seriesUid={open.seriesInstanceUid}
            onStage={setStage}
          />
        )}
      </main>
    </div>
  );
}

function StudyLine({ study }: { study: Study }) {
  const about = [study.description, formatDate(study.date)].filter((part) => part !== '').join(' · ');
  return (
    <h1 className="study-line">
      <span className="study-line-name">{study.patientName || 'No name'}</span>
      <span className="study-line-about">{about}</span>
    </h1>
  );
}

/** Over the pictures as long as nobody has decided whose they are: the name above is the study's, not each picture's. */
function HeldStrip({ reason }: { reason: string }) {
  return (
    <p className="held-strip" role="alert">
      <strong>Some of these images may not belong here.</strong> Compare name and ID on each image. The PACS
      administrator must decide: {reason}.
    </p>
  );
}

/** Of one kind in a series; who has more of them reads them elsewhere. */
const MOST_LINKS = 20;

interface OpenSeriesProps {
  studyUid: string;
  seriesUid: string;
  onStage: (stage: Stage | undefined) => void;
}

function OpenSeries({ studyUid, seriesUid, onStage }: OpenSeriesProps) {
  const { answer, retry } = useAnswer(seriesUid, (signal) => loadSeriesImages(studyUid, seriesUid, signal));
  if (answer.state === 'asking') return <Notice busy title="Opening the series" />;
  if (answer.state === 'failed') {
    return (
      <Notice alert title="The series could not be opened." onRetry={retry}>
        {answer.sentence}
      </Notice>
    );
  }
  const { frames, notShown } = answer.value;
  if (frames.length > 0) return <ImageViewport stack={answer.value} onStage={onStage} />;
  const canBeRead = notShown.some(({ readable }) => readable.length > 0);
  return (
    <Notice title="No pictures in this series.">
      {notShown.length === 0
        ? 'The archive holds no objects of it.'
        : canBeRead
          ? 'What can be read opens in a tab of its own:'
          : 'What it holds is kept by the archive, but the viewer does not show it:'}
      {notShown.map(({ words, count, readable }) => (
        <span key={words} className="not-shown">
          {readable.length === 0 && (count === 1 ? words : `${words} (${count})`)}
          {readable.slice(0, MOST_LINKS).map((sopUid, index) => (
            <a key={sopUid} href={renderedUrl(studyUid, seriesUid, sopUid)} target="_blank" rel="noreferrer">
              {count === 1 ? words : `${words} ${index + 1} of ${count}`}
            </a>
          ))}
        </span>
      ))}
    </Notice>
  );
}
