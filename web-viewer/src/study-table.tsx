/**
 * The studies of one page of the list, a row each. The name is the link; the whole row follows it.
 * Used by study-list.tsx.
 */
import type { KeyboardEvent } from 'react';
import { formatDate, formatTime } from './dicom-date.ts';
import { Link } from './link.tsx';
import { studyAddress } from './route.ts';
import type { Study } from './study.ts';

export function StudyTable({ studies, faded }: { studies: readonly Study[]; faded: boolean }) {
  return (
    <table className={faded ? 'study-table study-table-faded' : 'study-table'} onKeyDown={moveAmongRows}>
      <thead>
        <tr>
          <th scope="col">Patient</th>
          <th scope="col">Patient ID</th>
          <th scope="col" className="study-born">
            Born
          </th>
          <th scope="col">Study date</th>
          <th scope="col">Modality</th>
          <th scope="col">Description</th>
          <th scope="col">Accession</th>
          <th scope="col" className="count">
            Series
          </th>
          <th scope="col" className="count">
            Images
          </th>
        </tr>
      </thead>
      <tbody>
        {studies.map((study) => (
          <Row key={study.studyInstanceUid} study={study} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ study }: { study: Study }) {
  return (
    <tr className="study-row">
      <th scope="row" className="study-name">
        <Link to={studyAddress(study.studyInstanceUid)} className="study-link">
          {study.patientName || <span className="absent">No name</span>}
        </Link>
        {study.held !== '' && (
          <span className="held-mark" title={study.held}>
            To be checked
          </span>
        )}
      </th>
      <td className="figures study-id" title={study.patientId}>
        {study.patientId}
      </td>
      <td className="figures quiet study-born">{formatDate(study.birthDate)}</td>
      <td className="figures">
        {formatDate(study.date)} <span className="quiet">{formatTime(study.time)}</span>
      </td>
      <td>
        {study.modalities.map((modality) => (
          <span key={modality} className="modality">
            {modality}
          </span>
        ))}
      </td>
      <td className="study-description" title={study.description}>
        {study.description}
      </td>
      <td className="figures study-id" title={study.accession}>
        {study.accession}
      </td>
      <td className="figures count">{study.seriesCount ?? ''}</td>
      <td className="figures count">{study.instanceCount ?? ''}</td>
    </tr>
  );
}

/** Arrow keys go from row to row, as in any list. */
function moveAmongRows(event: KeyboardEvent<HTMLTableElement>) {
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
  const links = [...event.currentTarget.querySelectorAll<HTMLAnchorElement>('.study-link')];
  const here = links.indexOf(document.activeElement as HTMLAnchorElement);
  const next = links[here + (event.key === 'ArrowDown' ? 1 : -1)];
  if (next === undefined) return;
  event.preventDefault();
  next.focus();
}
