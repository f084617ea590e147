/**
 * The try-out of rules: a draft, or the rules in force, against an uploaded header, a stored study, or the studies of the
 * last days; nothing is written and nothing is sent. Asked over HTTP by admin/try-routes.ts, which keeps the record of it.
 * try-unit.ts decides; this file reads the rules and the studies, and bounds the time.
 */
import { z } from 'zod';
import type { Database } from '../archive/database/database.ts';
import { findStudy, type StudyRecord } from '../archive/study.ts';
import type { DicomJson } from '../dicom/dicom-json.ts';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import { type Senders, sendersOf } from './came-from.ts';
import type { EvaluateParts } from './evaluate.ts';
import { invalid, sentences } from './faults.ts';
import { nameSchema, parseRule, type Rule } from './rule.ts';
import { type Going, type TriedDecision, type TriedRules, type TriedUnit, tryUnit } from './try-unit.ts';
import { beyondIndex, unitFacts } from './unit-facts.ts';

const association = z.strictObject({
  CallingAETitle: z.string().max(16).optional(),
  CalledAETitle: z.string().max(16).optional(),
  SourceAddress: z.string().max(64).optional(),
  StowUser: z.string().max(64).optional(),
});

const askSchema = z
  .strictObject({
    // Parsed by parseRule, with its own words for faults.
    rule: z
      .unknown()
      .optional()
      .meta({ $ref: '/api/rules/schema' })
      .describe('The draft, as PUT /api/rules/NAME takes it; the rules in force when absent'),
    replaces: nameSchema.optional().describe('The rule in force whose place the draft would take'),
    association: association.optional().describe('Who would send the uploaded object'),
    study: z
      .string()
      .refine(isUid, 'expected a (0020,000D) StudyInstanceUID')
      .optional()
      .describe('A stored study'),
    days: z
      .number()
      .int()
      .min(1)
      .max(366)
      .optional()
      .describe('Studies that received something in the last days'),
    limit: z.number().int().min(1).max(500).default(100).describe('Studies to look at in this call, at most'),
    cursor: z.string().max(500).optional().describe('"next" of the answer before'),
  })
  .meta({ title: 'Try-out' });

export type Ask = z.infer<typeof askSchema>;

/** The published schema of what POST /api/rules/try takes. */
export function askJsonSchema(): object {
  return z.toJSONSchema(askSchema, { io: 'input' });
}

export interface TriedHeader {
  /** SOP Instance, Series and Study Instance UID, as far as the object has them. */
  readonly sopUid: string;
  readonly seriesUid: string;
  readonly header: DicomJson;
}

export interface TriedStudy extends TriedUnit {
  study: string;
  /** It waits for a person: until then nothing of this goes. */
  held?: true;
}

export interface TriedDays {
  days: number;
  /** Studies for which the draft makes a difference. */
  studies: (Omit<TriedStudy, 'goes'> & { decisions: TriedDecision[] })[];
  /** Of this page. */
  more: (Going & { studies: number })[];
  less: (Going & { studies: number })[];
  /** Studies looked at so far, and how many there were when it began. */
  looked: number;
  of: number;
  next?: string;
}

export interface TryOut {
  /** @throws Failure 'invalid' */
  parse(json: unknown): Ask;
  header(ask: Ask, uploaded: TriedHeader): Promise<TriedUnit>;
  /** @param gone whoever asked has left: it stops as if the time were up. @throws Failure 'not-found' */
  study(ask: Ask, studyUid: string, gone?: AbortSignal): Promise<TriedStudy>;
  days(ask: Ask, days: number, gone?: AbortSignal): Promise<TriedDays>;
}

export interface TryOutParts extends EvaluateParts {
  database: Database;
  /** Milliseconds after which an answer says how far it came. */
  budgetMs?: number;
}

const BUDGET_MS = 5000;
/** Each reads headers beside what is routed. */
const MOST_AT_ONCE = 2;
const DRAFT = 'draft';
/** Of a draft at 'series-stable' so many series of each study are told of in a page of days; all of them for one study. */
const TOLD_SERIES = 10;

export function createTryOut(parts: TryOutParts): TryOut {
  const { database, table, budgetMs = BUDGET_MS } = parts;
  let running = 0;

  async function alone<T>(work: (isTimeUp: () => boolean) => Promise<T>, gone?: AbortSignal): Promise<T> {
    if (running >= MOST_AT_ONCE)
      throw new Failure(
        'unavailable',
        `${MOST_AT_ONCE} try-outs are under way here; ask again when they are done`,
        {
          retryAfterS: 5,
        },
      );
    running++;
    const end = performance.now() + budgetMs;
    try {
      return await work(() => gone?.aborted || performance.now() > end);
    } finally {
      running--;
    }
  }

  async function rulesOf({ rule, replaces }: Ask): Promise<TriedRules & { unasked: TriedDecision[] }> {
    const draft: Rule | undefined =
      rule === undefined ? undefined : { name: replaces ?? DRAFT, version: 0, ...parseRule(rule) };
    if (replaces !== undefined && !draft)
      throw new Failure('invalid', 'The try-out has a fault: replaces needs a rule that takes the place');
    if (replaces !== undefined && !(await table.rule(replaces)))
      throw new Failure('not-found', `There is no rule ${replaces} that the draft could replace`);
    const { rules: today, unasked } = await table.compiledRules(database);
    const destinations = await table.destinations();
    const peers = new Map(
      destinations.flatMap(({ name, settings }) =>
        settings.kind === 'group' ? [] : [[name, settings] as const],
      ),
    );
    const senders = new Map<string, Senders>(
      destinations.map(({ name, settings }) => {
        const members = settings.kind === 'group' ? settings.members : [name];
        return [name, sendersOf(members.flatMap((member) => peers.get(member) ?? []))];
      }),
    );
    const unknown = draft?.body.send.filter((name) => !senders.has(name)) ?? [];
    if (unknown.length > 0) throw invalid('The rule', [`send: ${unknown.join(', ')} is no destination`]);
    return {
      ...{ today, draft, replaces, senders },
      unasked: unasked
        .filter(({ name }) => name !== replaces)
        .map(({ name, why }) => ({ rule: name, matched: false, reason: why, decided: [] })),
    };
  }

  async function tryStudy(
    rules: Awaited<ReturnType<typeof rulesOf>>,
    study: StudyRecord,
    isTimeUp: () => boolean,
  ): Promise<TriedStudy> {
    const asked = rules.draft ? [...rules.today, rules.draft] : rules.today;
    const header = beyondIndex(asked.map((rule) => rule.condition));
    // The clock stood there when its rules were asked.
    const at = study.stableAt ?? study.lastReceivedAt;
    const tried = await tryUnit(unitFacts(parts, database, study, {}, at, header), rules, isTimeUp);
    const decisions = [...tried.decisions, ...rules.unasked];
    return { study: study.studyUid, ...(study.held !== null && { held: true }), ...tried, decisions };
  }

  return {
    parse(json) {
      const parsed = askSchema.safeParse(json);
      if (!parsed.success) throw invalid('The try-out', sentences(parsed.error));
      return parsed.data;
    },

    header: (ask, uploaded) =>
      alone(async (isTimeUp) => {
        const rules = await rulesOf(ask);
        const { CallingAETitle, CalledAETitle, SourceAddress, StowUser } = ask.association ?? {};
        const now = new Date();
        const instance = {
          sopUid: uploaded.sopUid,
          seriesUid: uploaded.seriesUid,
          source: {
            kind: StowUser === undefined ? 'dimse' : 'stow',
            aeTitle: CallingAETitle ?? null,
            address: SourceAddress ?? null,
          },
          receivedAt: now,
          facts: {
            dataSets: [uploaded.header, aStudyOfOne(uploaded.header)],
            association: { CallingAETitle, CalledAETitle, SourceAddress, StowUser },
            at: now,
          },
        };
        async function* page() {
          yield [instance];
        }
        const tried = await tryUnit(page(), rules, isTimeUp);
        return { ...tried, decisions: [...tried.decisions, ...rules.unasked] };
      }),

    study: (ask, studyUid, gone) =>
      alone(async (isTimeUp) => {
        const rules = await rulesOf(ask);
        const study = await findStudy(database, studyUid);
        if (!study) throw new Failure('not-found', `There is no study ${studyUid}`);
        return tryStudy(rules, study, isTimeUp);
      }, gone),

    days: (ask, days, gone) =>
      alone(async (isTimeUp) => {
        const rules = await rulesOf(ask);
        if (!rules.draft)
          throw new Failure(
            'invalid',
            'The try-out has a fault: rule is missing; days are tried with a draft',
          );
        const from = ask.cursor === undefined ? await beginning(database, days) : readCursor(ask.cursor);
        const answer: TriedDays = { days, studies: [], more: [], less: [], looked: from.looked, of: from.of };
        const found = await studiesOf(database, from, ask.limit);
        let last = from.before;
        for (const { id, studyUid } of found) {
          if (answer.looked > from.looked && isTimeUp()) break;
          const study = await findStudy(database, studyUid);
          const tried = study && (await tryStudy(rules, study, isTimeUp));
          // The next call begins with it, and has all its time for it.
          if (tried?.incomplete && answer.looked > from.looked) break;
          [last, answer.looked] = [id, answer.looked + 1];
          if (tried) addStudy(answer, tried);
        }
        if (answer.looked - from.looked === ask.limit || last !== (found.at(-1)?.id ?? from.before))
          answer.next = writeCursor({ ...from, before: last, looked: answer.looked });
        return answer;
      }, gone),
  };
}

function addStudy(answer: TriedDays, { goes: _, decisions, ...study }: TriedStudy): void {
  if (study.more.length === 0 && study.less.length === 0 && !study.incomplete) return;
  answer.studies.push({ ...study, decisions: decisions.filter(({ draft }) => draft).slice(0, TOLD_SERIES) });
  for (const which of ['more', 'less'] as const)
    for (const going of study[which]) {
      const known = answer[which].find(
        ({ destination, changed }) => destination === going.destination && changed === going.changed,
      );
      if (known) [known.instances, known.studies] = [known.instances + going.instances, known.studies + 1];
      else answer[which].push({ ...going, studies: 1 });
    }
}

/** As an index of this object alone would count. */
function aStudyOfOne(header: DicomJson): DicomJson {
  const one = { vr: 'IS', Value: [1] };
  return {
    '00080061': { vr: 'CS', Value: header['00080060']?.Value ?? [] },
    '00201206': one,
    '00201208': one,
    '00201209': one,
  };
}

const cursorSchema = z.strictObject({
  since: z.iso.datetime(),
  /** Studies with a lower id come next: what arrives meanwhile has a higher one. */
  before: z.number().int().min(0).nullable(),
  looked: z.number().int().min(0),
  of: z.number().int().min(0),
});
type Cursor = z.infer<typeof cursorSchema>;

async function beginning(database: Database, days: number): Promise<Cursor> {
  const { rows } = await database.query<{ since: Date; of: number }>(
    `select since, (select count(*) from study where last_received_at >= since) as of
     from (select now() - make_interval(days => $1) as since) as s`,
    [days],
  );
  const { since, of } = rows[0]!;
  return { since: since.toISOString(), before: null, looked: 0, of };
}

async function studiesOf(
  database: Database,
  { since, before }: Cursor,
  limit: number,
): Promise<{ id: number; studyUid: string }[]> {
  const { rows } = await database.query<{ id: number; studyUid: string }>(
    // By the index of what was received lately: in the order of ids a rare day would be looked for in all studies.
    `with recent as materialized (select id from study where last_received_at >= $1)
     select id, study_uid as "studyUid" from study where id = any(array(
       select id from recent where $2::bigint is null or id < $2 order by id desc limit $3)) order by id desc`,
    [since, before, limit],
  );
  return rows;
}

function writeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url');
}

function readCursor(text: string): Cursor {
  try {
    return cursorSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
  } catch (cause) {
    throw new Failure('invalid', 'cursor is not one that an answer gave as "next"', { cause });
  }
}
