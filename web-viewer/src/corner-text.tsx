/**
 * The words around the picture: who and what it is, which slice, how it is windowed, which way it looks.
 * All of it comes from the data set of the frame on the screen, never from the list it was opened from.
 * Used by image-viewport.tsx.
 */
import { type Dataset, number, personName, text } from './dataset.ts';
import { formatAge, formatDate, formatTime } from './dicom-date.ts';
import type { Frame, ImageStack } from './image-stack.ts';
import { formatPersonNames } from './person-name.ts';
import type { StageState } from './stage.ts';

interface CornerTextProps {
  frame: Frame;
  stack: ImageStack;
  state: StageState;
}

export function CornerText({ frame, stack, state }: CornerTextProps) {
  const { dataset } = frame;
  const shown = state.shown ?? 0;
  return (
    <div className="corner-text">
      <div className="corner corner-top-left" data-corner="patient">
        <Line strong>{formatPersonNames(personName(dataset, '00100010')) || 'No name'}</Line>
        <Line>{labelled('ID', text(dataset, '00100020'))}</Line>
        <Line>{born(dataset)}</Line>
      </div>
      <div className="corner corner-top-right" data-corner="study">
        <Line strong>{text(dataset, '00081030')}</Line>
        <Line>{`${formatDate(text(dataset, '00080020'))}  ${formatTime(text(dataset, '00080030'))}`}</Line>
        <Line>{labelled('Acc', text(dataset, '00080050'))}</Line>
      </div>
      <div className="corner corner-bottom-left" data-corner="series">
        <Line strong>{seriesLine(dataset)}</Line>
        <Line>{`Image ${shown + 1}/${stack.frames.length}`}</Line>
        <Line>{slicePlace(dataset)}</Line>
        <Line warning>{besides(stack)}</Line>
      </div>
      <div className="corner corner-bottom-right" data-corner="display">
        <Line warning>{lossy(dataset)}</Line>
        <Line>{state.window && `W ${figure(state.window.width)}  L ${figure(state.window.center)}`}</Line>
        <Line>
          {state.zoom && `Zoom ${Math.round(state.zoom * 100)} %${state.inverted ? '  Inverted' : ''}`}
        </Line>
      </div>
      {state.letters && (
        <>
          <span className="edge edge-top">{state.letters.top}</span>
          <span className="edge edge-right">{state.letters.right}</span>
          <span className="edge edge-bottom">{state.letters.bottom}</span>
          <span className="edge edge-left">{state.letters.left}</span>
        </>
      )}
    </div>
  );
}

interface LineProps {
  strong?: boolean;
  warning?: boolean;
  children: string | number | undefined;
}

function Line({ strong = false, warning = false, children }: LineProps) {
  if (children === undefined || String(children).trim() === '') return null;
  return <div className={strong ? 'corner-strong' : warning ? 'corner-warning' : undefined}>{children}</div>;
}

function labelled(label: string, value: string): string {
  return value === '' ? '' : `${label} ${value}`;
}

function born(dataset: Dataset): string {
  const birthDate = formatDate(text(dataset, '00100030'));
  return [labelled('Born', birthDate), text(dataset, '00100040'), formatAge(text(dataset, '00101010'))]
    .filter((part) => part !== '')
    .join('  ');
}

function seriesLine(dataset: Dataset): string {
  const name = text(dataset, '0008103E') || text(dataset, '00181030');
  return [labelled('Series', text(dataset, '00200011')), name].filter((part) => part !== '').join('  ');
}

/** What else the series holds, so that nobody takes the pictures for all of it. */
function besides(stack: ImageStack): string {
  const words = stack.notShown.map(({ words, count }) => (count === 1 ? words : `${words} (${count})`));
  return words.length === 0 ? '' : `Not shown: ${words.join(', ')}`;
}

/** Where the slice lies and how thick it is, in mm as the data set says it. */
function slicePlace(dataset: Dataset): string {
  const location = number(dataset, '00201041');
  const thickness = number(dataset, '00180050');
  return [
    location === undefined ? '' : `Loc ${location.toFixed(1)} mm`,
    thickness === undefined ? '' : `Thick ${figure(thickness)} mm`,
  ]
    .filter((part) => part !== '')
    .join('  ');
}

/** Lossy Image Compression (0028,2110), with the ratio of the last step where it is known. */
function lossy(dataset: Dataset): string {
  if (text(dataset, '00282110') !== '01') return '';
  const ratio = number(dataset, '00282112');
  return ratio === undefined ? 'Lossy compressed' : `Lossy compressed ${figure(ratio)}:1`;
}

/** A number with no more digits than it needs: whole when large, two decimals when small. */
function figure(value: number): string {
  return Math.abs(value) >= 10 ? String(Math.round(value)) : String(Math.round(value * 100) / 100);
}
