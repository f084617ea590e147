/**
 * A slice of the synthetic CT as a data set of CT Image Storage (PS3.3 A.3), written by dcmjs in Explicit VR Little
 * Endian without File Meta. Called by modality.ts for each slice; everything of types 1 and 2 is there.
 */
import dcmjs from 'dcmjs';
import { EXPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { namedUid } from './random.ts';
import { COLUMNS, PIXEL_SPACING, ROWS } from './slice-grid.ts';

export const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';

export interface CtStudy {
  /** All UIDs come from it. */
  seed: string;
  slices: number;
  sliceMm: number;
  /** As DA and TM. */
  date: string;
  time: string;
}

export interface CtSlice {
  sopInstanceUid: string;
  /** The encoded data set. */
  bytes: Buffer;
}

const RESCALE_INTERCEPT = -1024;

/** @param index 0 at the head end @param z of the slice's middle, in mm @param pixels ROWS by COLUMNS Hounsfield units */
export function encodeCtSlice(study: CtStudy, index: number, z: number, pixels: Int16Array): CtSlice {
  const sopInstanceUid = namedUid(`${study.seed} image ${index}`);
  const stored = new Uint16Array(pixels.length);
  for (let at = 0; at < pixels.length; at++) stored[at] = pixels[at]! - RESCALE_INTERCEPT;
  const corner = (count: number) => decimal((-(count - 1) / 2) * PIXEL_SPACING);
  const position = [corner(COLUMNS), corner(ROWS), decimal(z)];
  const { date, time } = study;
  const dataSet = {
    SpecificCharacterSet: 'ISO_IR 100',
    ImageType: ['ORIGINAL', 'PRIMARY', 'AXIAL'],
    InstanceCreationDate: date,
    InstanceCreationTime: time,
    SOPClassUID: CT_IMAGE_STORAGE,
    SOPInstanceUID: sopInstanceUid,
    StudyDate: date,
    SeriesDate: date,
    AcquisitionDate: date,
    ContentDate: date,
    StudyTime: time,
    SeriesTime: time,
    AcquisitionTime: time,
    ContentTime: time,
    AccessionNumber: accessionNumber(study),
    Modality: 'CT',
    Manufacturer: 'Isocenter',
    InstitutionName: 'Isocenter phantom laboratory',
    ReferringPhysicianName: '',
    StudyDescription: 'Phantom chest',
    SeriesDescription: `Chest axial ${study.sliceMm} mm`,
    ManufacturerModelName: 'Synthetic CT',
    PatientName: 'Phantom^Isocenter',
    PatientID: 'ISOCENTER-PHANTOM',
    PatientBirthDate: '19700101',
    PatientSex: 'O',
    PatientAge: age(date),
    BodyPartExamined: 'CHEST',
    SliceThickness: decimal(study.sliceMm),
    KVP: '120',
    SpacingBetweenSlices: decimal(study.sliceMm),
    DeviceSerialNumber: '1',
    SoftwareVersions: '1',
    ProtocolName: 'Phantom chest',
    ReconstructionDiameter: decimal(COLUMNS * PIXEL_SPACING),
    GantryDetectorTilt: '0',
    RotationDirection: 'CW',
    ExposureTime: '500',
    XRayTubeCurrent: '240',
    Exposure: '120',
    ConvolutionKernel: 'STANDARD',
    PatientPosition: 'HFS',
    StudyInstanceUID: studyInstanceUid(study),
    SeriesInstanceUID: namedUid(`${study.seed} series`),
    StudyID: '1',
    SeriesNumber: '2',
    AcquisitionNumber: '1',
    InstanceNumber: String(index + 1),
    ImagePositionPatient: position,
    ImageOrientationPatient: ['1', '0', '0', '0', '1', '0'],
    FrameOfReferenceUID: namedUid(`${study.seed} frame of reference`),
    PositionReferenceIndicator: '',
    SliceLocation: decimal(z),
    SamplesPerPixel: 1,
    PhotometricInterpretation: 'MONOCHROME2',
    Rows: ROWS,
    Columns: COLUMNS,
    PixelSpacing: [decimal(PIXEL_SPACING), decimal(PIXEL_SPACING)],
    BitsAllocated: 16,
    BitsStored: 12,
    HighBit: 11,
    PixelRepresentation: 0,
    BurnedInAnnotation: 'NO',
    LossyImageCompression: '00',
    WindowCenter: ['40', '-600'],
    WindowWidth: ['400', '1500'],
    WindowCenterWidthExplanation: ['SOFT TISSUE', 'LUNG'],
    RescaleIntercept: String(RESCALE_INTERCEPT),
    RescaleSlope: '1',
    RescaleType: 'HU',
    PixelData: [stored.buffer],
    _vrMap: { PixelData: 'OW' },
  };
  const { DicomMessage, DicomMetaDictionary, WriteBufferStream } = dcmjs.data;
  const stream = new WriteBufferStream();
  DicomMessage.write(DicomMetaDictionary.denaturalizeDataset(dataSet), stream, EXPLICIT_LE, {});
  return { sopInstanceUid, bytes: Buffer.from(stream.getBuffer()) };
}

export function studyInstanceUid({ seed }: CtStudy): string {
  return namedUid(`${seed} study`);
}

/** SH, at most 16 characters. */
function accessionNumber({ seed }: CtStudy): string {
  return `PH${namedUid(seed).slice(-8)}`;
}

function age(date: string): string {
  return `${String(Number(date.slice(0, 4)) - 1970).padStart(3, '0')}Y`;
}

/** DS: at most 16 characters. */
function decimal(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
