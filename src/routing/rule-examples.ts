/**
 * A rule per kind of condition, for the description of the API (admin/openapi.ts). A test parses each of them and finds
 * every kind of condition among them.
 */
export interface RuleExample {
  readonly summary: string;
  readonly value: object;
}

export const RULE_EXAMPLES: Readonly<Record<string, RuleExample>> = {
  equals: {
    summary: 'Every CT study, once it is quiet',
    value: { when: { Modality: 'CT' }, at: 'study-stable', send: ['pacs'] },
  },
  in: {
    summary: 'One of several values, at once and before others',
    value: {
      when: { Modality: ['CT', 'MR'], CallingAETitle: 'TRAUMA_CT' },
      at: 'instance',
      send: ['pacs'],
      priority: 50,
    },
  },
  wildcard: {
    summary: '* is any text, ? one letter',
    value: { when: { StudyDescription: '*ANGIO*' }, send: ['vascular'] },
  },
  pattern: {
    summary: 'An RE2 pattern, found anywhere in the value',
    value: { when: { ProtocolName: { pattern: '(?i)^knee.*(l|left)$' } }, send: ['ortho'] },
  },
  ranges: {
    summary: 'Ranges of numbers, dates, times and ages, both ends included',
    value: {
      when: {
        Rows: { from: 512 },
        StudyDate: { from: '2024-01-01', to: '2024-12-31' },
        StudyTime: { from: '18:00' },
        PatientAge: { to: '017Y' },
      },
      send: ['paediatrics'],
    },
  },
  presence: {
    summary: 'An attribute that has a value, another that has none',
    value: { when: { present: 'AccessionNumber', absent: 'RequestingPhysician' }, send: ['pacs'] },
  },
  nested: {
    summary: 'An attribute within a sequence: any of its items',
    value: {
      when: { 'RequestAttributesSequence.ScheduledProcedureStepID': 'RES-*' },
      send: ['research'],
    },
  },
  private: {
    summary: 'A private attribute by group, creator and element, wherever the creator has its block',
    value: { when: { '(0019,"SIEMENS MR HEADER",0C)': { from: 800 } }, send: ['research'] },
  },
  combined: {
    summary: 'all, any and not, as deep as needed',
    value: {
      when: {
        all: [{ Modality: 'MR' }, { any: [{ BodyPartExamined: 'BRAIN' }, { StudyDescription: '*HEAD*' }] }],
        not: { ImageType: 'LOCALIZER' },
      },
      at: 'series-stable',
      send: ['neuro'],
    },
  },
  every: {
    summary: 'Every instance of the study meets it, not just one',
    value: { when: { all: { SOPClassUID: '1.2.840.10008.5.1.4.1.1.7' } }, send: ['documents'] },
  },
  association: {
    summary: 'Who sent it: AE titles and address, or the user of a STOW-RS request',
    value: {
      when: {
        any: [
          { CallingAETitle: 'CT_*', CalledAETitle: 'ISOCENTER', SourceAddress: '10.2.*' },
          { StowUser: 'portal' },
        ],
      },
      send: ['pacs'],
    },
  },
  study: {
    summary: 'Of the whole study: its modalities, how many instances it has, how old it is',
    value: {
      when: {
        ModalitiesInStudy: 'PT',
        NumberOfStudyRelatedInstances: { from: 100 },
        StudyAge: { to: '007D' },
      },
      send: ['pacs'],
    },
  },
  transcode: {
    summary: 'Compressed on the way out, as another instance where something is lost',
    value: {
      when: { Modality: 'CT' },
      send: ['pacs'],
      transform: [{ transcode: { to: 'JPEG2000', ratio: 10 } }],
    },
  },
  clock: {
    summary: 'At night and at the weekend, by the clock of the place',
    value: {
      when: {
        Clock: [
          { from: '18:00', to: '07:00', zone: 'Europe/Berlin' },
          { days: ['sat', 'sun'], from: '00:00', to: '24:00', zone: 'Europe/Berlin' },
        ],
      },
      send: ['on-call'],
    },
  },
};

/** Of POST /api/rules/try. */
export const TRY_EXAMPLES: Readonly<Record<string, RuleExample>> = {
  days: {
    summary: 'What a draft would have changed in the last week, where it takes the place of a rule',
    value: { rule: { when: { Modality: 'CT' }, send: ['pacs'] }, replaces: 'ct-to-pacs', days: 7 },
  },
  study: {
    summary: 'What the rules in force do with a stored study',
    value: { study: '1.2.840.113619.2.1' },
  },
};
