/**
 * PS3.15 Table E.1-1 (edition 2024e): what becomes of each attribute when a data set is de-identified, by the Basic
 * Profile and by the options that retain or clean it. Transcribed by keyword; read by de-identify.ts.
 * Private attributes, Curve Data, Overlay Data and Overlay Comments are groups of tags, and stand there.
 */

/** X remove, Z zero length, D dummy, U replaced UID; of several, which one depends on the attribute's type in the IOD. */
export type BasicAction = 'X' | 'Z' | 'D' | 'U' | 'X/Z' | 'X/D' | 'Z/D' | 'X/Z/D' | 'X/Z/U*';

/**
 * Options by which it stays: K (keep) as the bare word, C (clean) with a tilde. `dates` is K with full dates and C with
 * modified dates.
 */
export type OptionWord =
  | 'uids'
  | 'device'
  | 'device~'
  | 'institution'
  | 'patient'
  | 'patient~'
  | 'dates'
  | 'desc~'
  | 'struct~'
  | 'graph~';

export interface ConfidentialityRow {
  readonly keyword: string;
  readonly basic: BasicAction;
  readonly options: readonly OptionWord[];
}

/** Keywords by basic action and options. */
const GROUPS: readonly (readonly [BasicAction, string, string])[] = [
  [
    'D',
    '',
    `ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialSubjectID
     ClinicalTrialSubjectReadingID FlowIdentifierSequence FlowIdentifier SourceIdentifier
     ContainerIdentifier SpecimenIdentifier PersonIdentificationCodeSequence VerifyingOrganization
     VerifyingObserverSequence VerifyingObserverName PersonName EncapsulatedDocument SelectorOBValue
     SelectorPNValue SelectorUNValue SelectorURValue CertificateOfSigner`,
  ],
  [
    'D',
    'dates',
    `ContextGroupVersion ContextGroupLocalVersion FrameAcquisitionDateTime FrameReferenceDateTime
     SourceStartDateTime SourceEndDateTime FunctionalSyncPulse DecayCorrectionDateTime
     ExclusionStartDateTime FrameOriginTimestamp ImpedanceMeasurementDateTime VerificationDateTime
     DateTime Date Time ReferencedDateTime AssertionDateTime EffectiveDateTime
     InformationIssueDateTime HangingProtocolCreationDateTime SelectorDAValue SelectorDTValue
     SelectorTMValue DigitalSignatureDateTime AttributeModificationDateTime TreatmentControlPointDate
     TreatmentControlPointTime SafePositionExitDate SafePositionExitTime SafePositionReturnDate
     SafePositionReturnTime SourceStrengthReferenceDate SourceStrengthReferenceTime
     TreatmentToleranceViolationDateTime RecordedRTControlPointDateTime InterlockDateTime
     OverrideDateTime`,
  ],
  [
    'D',
    'desc~',
    `AcquisitionFieldOfViewLabel AnnotationGroupLabel SelectorLOValue SelectorLTValue SelectorSHValue
     SelectorSTValue SelectorUTValue ReasonForTheAttributeModification StructureSetLabel RTPlanLabel
     TreatmentPositionGroupLabel RadiationDoseIdentificationLabel RadiationDoseInVivoMeasurementLabel
     RTToleranceSetLabel RadiationGenerationModeLabel TreatmentToleranceViolationDescription
     InterlockDescription InterlockOriginDescription UserContentLabel UserContentLongLabel
     EntityLabel EntityLongLabel RTPrescriptionLabel`,
  ],
  ['D', 'device', `XRaySourceID XRayDetectorID ModifyingSystem DeviceLabel`],
  ['D', 'device dates', `BeamHoldTransitionDateTime`],
  ['D', 'device~', `SelectorAEValue DestinationAE`],
  ['D', 'graph~', `GraphicAnnotationSequence`],
  ['D', 'institution', `ClinicalTrialProtocolEthicsCommitteeName`],
  ['D', 'patient', `SelectorASValue`],
  ['D', 'struct~', `ContentSequence`],
  ['D', 'uids', `AnnotationGroupUID`],
  ['U', '', `UID DigitalSignatureUID`],
  [
    'U',
    'uids',
    `RequestedSOPInstanceUID MediaStorageSOPInstanceUID ReferencedSOPInstanceUIDInFile
     InstanceCreatorUID AcquisitionUID SOPInstanceUID PyramidUID FailedSOPInstanceUIDList
     ReferencedSOPInstanceUID TransactionUID IrradiationEventUID TargetUID StudyInstanceUID
     SeriesInstanceUID FrameOfReferenceUID SynchronizationFrameOfReferenceUID ConcatenationUID
     DimensionOrganizationUID PaletteColorLookupTableUID LargePaletteColorLookupTableUID
     MultiplexGroupUID SpecimenUID ReferencedGeneralPurposeScheduledProcedureStepTransactionUID
     ObservationUID ReferencedObservationUIDTrial ObservationSubjectUIDTrial
     TemplateExtensionOrganizationUID TemplateExtensionCreatorUID TrackingUID
     SourceFrameOfReferenceUID FiducialUID PresentationDisplayCollectionUID
     PresentationSequenceCollectionUID StorageMediaFileSetUID ReferencedFrameOfReferenceUID
     RelatedFrameOfReferenceUID DoseReferenceUID ReferencedDoseReferenceUID TreatmentPositionGroupUID
     PatientSetupUID TreatmentSessionUID ReferencedTreatmentPositionGroupUID ConceptualVolumeUID
     ReferencedConceptualVolumeUID ConstituentConceptualVolumeUID SourceConceptualVolumeUID
     ReferencedFiducialsUID RTTreatmentPhaseUID DosimetricObjectiveUID
     ReferencedDosimetricObjectiveUID`,
  ],
  ['U', 'uids device', `DeviceUID ManufacturerDeviceClassUID`],
  ['X/D', '', `OperatorIdentificationSequence`],
  [
    'X/D',
    'dates',
    `InstanceCreationDate SeriesDate SeriesTime StartAcquisitionDateTime EndAcquisitionDateTime
     ObservationDateTime FirstTreatmentDate MostRecentTreatmentDate TreatmentDate TreatmentTime
     RTPlanDate RTPlanTime IntendedPhaseStartDate IntendedPhaseEndDate`,
  ],
  [
    'X/D',
    'desc~',
    `ProtocolName AcquisitionDeviceProcessingDescription RTTreatmentApproachLabel TreatmentSite`,
  ],
  ['X/D', 'device', `DetectorID`],
  ['X/D', 'device dates', `DateOfLastDetectorCalibration TimeOfLastDetectorCalibration`],
  ['X/Z/D', '', `OperatorsName`],
  ['X/Z/D', 'dates', `InstanceCreationTime AcquisitionDateTime`],
  ['X/Z/D', 'device', `StationName DeviceSerialNumber`],
  ['X/Z/D', 'institution', `InstitutionName InstitutionCodeSequence`],
  ['X/Z/D', 'uids', `ReferencedPerformedProcedureStepSequence`],
  ['X/Z/U*', 'uids', `ReferencedImageSequence SourceImageSequence`],
  ['X/Z', '', `BarcodeValue ReviewerName`],
  ['X/Z', 'dates', `AcquisitionDate AcquisitionTime`],
  ['X/Z', 'desc~', `RequestedProcedureDescription LabelText`],
  ['X/Z', 'device', `SourceSerialNumber TreatmentMachineName`],
  ['X/Z', 'patient', `PatientSexNeutered`],
  ['X/Z', 'struct~', `AcquisitionContextSequence`],
  ['X/Z', 'uids', `ReferencedStudySequence`],
  [
    'X',
    '',
    `ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers
     ReferringPhysicianIdentificationSequence ConsultingPhysicianIdentificationSequence
     PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence PerformingPhysicianName
     PerformingPhysicianIdentificationSequence NameOfPhysiciansReadingStudy
     PhysiciansReadingStudyIdentificationSequence IssuerOfPatientID PatientBirthTime
     PatientInsurancePlanCodeSequence PatientPrimaryLanguageCodeSequence
     PatientPrimaryLanguageModifierCodeSequence OtherPatientIDs OtherPatientNames
     OtherPatientIDsSequence PatientBirthName PatientAddress InsurancePlanIdentification
     PatientMotherBirthName MilitaryRank BranchOfService MedicalRecordLocator
     ReferencedPatientPhotoSequence CountryOfResidence RegionOfResidence PatientTelephoneNumbers
     PatientTelecomInformation PatientReligiousPreference ResponsiblePerson ResponsibleOrganization
     IssuerOfClinicalTrialProtocolID OtherClinicalTrialProtocolIDsSequence
     IssuerOfClinicalTrialSiteID IssuerOfClinicalTrialSubjectID IssuerOfClinicalTrialSubjectReadingID
     IssuerOfClinicalTrialTimePointID ClinicalTrialSeriesID IssuerOfClinicalTrialSeriesID
     ClinicalTrialProtocolEthicsCommitteeApprovalNumber CameraOwnerName GPSVersionID GPSLatitudeRef
     GPSLatitude GPSLongitudeRef GPSLongitude GPSAltitudeRef GPSAltitude GPSTimeStamp GPSSatellites
     GPSStatus GPSMeasureMode GPSDOP GPSSpeedRef GPSSpeed GPSTrackRef GPSTrack GPSImgDirectionRef
     GPSImgDirection GPSMapDatum GPSDestLatitudeRef GPSDestLatitude GPSDestLongitudeRef
     GPSDestLongitude GPSDestBearingRef GPSDestBearing GPSDestDistanceRef GPSDestDistance
     GPSProcessingMethod GPSAreaInformation GPSDifferential ModifiedImageDescription
     ImagePresentationComments StudyIDIssuer RequestingPhysician RequestingService
     ReferencedPatientAliasSequence AdmissionID IssuerOfAdmissionID IssuerOfAdmissionIDSequence
     ScheduledPatientInstitutionResidence ServiceEpisodeID IssuerOfServiceEpisodeID
     IssuerOfServiceEpisodeIDSequence CurrentPatientLocation PatientInstitutionResidence
     ScheduledPerformingPhysicianName ScheduledProcedureStepID
     ScheduledPerformingPhysicianIdentificationSequence PerformedLocation PerformedProcedureStepID
     SpecimenAccessionNumber SlideIdentifier RequestedProcedureID PatientTransportArrangements
     RequestedProcedureLocation NamesOfIntendedRecipientsOfResults
     IntendedRecipientsOfResultsIdentificationSequence PersonAddress PersonTelephoneNumbers
     PersonTelecomInformation OrderEnteredBy OrderEntererLocation OrderCallbackPhoneNumber
     OrderCallbackTelecomInformation ConfidentialityConstraintOnPatientDataDescription
     ScheduledHumanPerformersSequence ActualHumanPerformersSequence HumanPerformerOrganization
     HumanPerformerName AuthorObserverSequence ParticipantSequence CustodialOrganizationSequence
     CurrentObserverTrial VerbalSourceTrial AddressTrial TelephoneNumberTrial
     VerbalSourceIdentifierCodeSequenceTrial ContainerComponentID
     ContentCreatorIdentificationCodeSequence IconImageSequence TopicTitle TopicSubject TopicAuthor
     TopicKeywords ReferencedDigitalSignatureSequence ReferencedSOPInstanceMACSequence MAC
     ModifiedAttributesSequence NonconformingModifiedAttributesSequence NonconformingDataElementValue
     OriginalAttributesSequence InstanceOriginStatus TextString ROICreatorSequence
     ROIInterpreterSequence Arbitrary TextComments ResultsID ResultsIDIssuer InterpretationRecorder
     InterpretationTranscriber InterpretationAuthor InterpretationApproverSequence
     PhysicianApprovingInterpretation ResultsDistributionListSequence DistributionName
     DistributionAddress InterpretationID InterpretationIDIssuer DigitalSignaturesSequence
     DataSetTrailingPadding`,
  ],
  [
    'X',
    'dates',
    `InstanceCoercionDateTime OverlayDate CurveDate OverlayTime CurveTime TimezoneOffsetFromUTC
     LastMenstrualDate EthicsCommitteeApprovalEffectivenessStartDate
     EthicsCommitteeApprovalEffectivenessEndDate GPSDateStamp InterventionDrugStopTime
     InterventionDrugStartTime DateOfSecondaryCapture TimeOfSecondaryCapture ContrastBolusStartTime
     ContrastBolusStopTime RadiopharmaceuticalStartTime RadiopharmaceuticalStopTime
     RadiopharmaceuticalStartDateTime RadiopharmaceuticalStopDateTime ContributionDateTime
     ModifiedImageDate ModifiedImageTime StudyVerifiedDate StudyVerifiedTime StudyReadDate
     StudyReadTime ScheduledStudyStartDate ScheduledStudyStartTime ScheduledStudyStopDate
     ScheduledStudyStopTime StudyArrivalDate StudyArrivalTime StudyCompletionDate StudyCompletionTime
     ScheduledAdmissionDate ScheduledAdmissionTime ScheduledDischargeDate ScheduledDischargeTime
     AdmittingDate AdmittingTime DischargeDate DischargeTime ScheduledProcedureStepStartDate
     ScheduledProcedureStepStartTime ScheduledProcedureStepEndDate ScheduledProcedureStepEndTime
     PerformedProcedureStepStartDate PerformedProcedureStepStartTime PerformedProcedureStepEndDate
     PerformedProcedureStepEndTime IssueDateOfImagingServiceRequest IssueTimeOfImagingServiceRequest
     ScheduledProcedureStepStartDateTime ScheduledProcedureStepExpirationDateTime
     ScheduledProcedureStepModificationDateTime ExpectedCompletionDateTime
     PerformedProcedureStepStartDateTime PerformedProcedureStepEndDateTime
     ProcedureStepCancellationDateTime FindingsGroupRecordingDateTrial
     FindingsGroupRecordingTimeTrial ObservationStartDateTime DateOfDocumentOrVerbalTransactionTrial
     TimeOfDocumentCreationOrVerbalTransactionTrial ObservationDateTrial ObservationTimeTrial
     TemplateVersion TemplateLocalVersion HL7DocumentEffectiveTime ApprovalStatusDateTime
     ProductExpirationDateTime SubstanceAdministrationDateTime AssertionExpirationDateTime
     PresentationCreationDate PresentationCreationTime SOPAuthorizationDateTime CertifiedTimestamp
     CreationDate CreationTime ROIDateTime ROIObservationDateTime IntendedFractionStartTime
     InterpretationRecordedDate InterpretationRecordedTime InterpretationTranscriptionDate
     InterpretationTranscriptionTime InterpretationApprovalDate InterpretationApprovalTime`,
  ],
  [
    'X',
    'desc~',
    `StudyDescription SeriesDescription AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence
     PyramidDescription DerivationDescription IdentifyingComments MedicalAlerts Occupation
     AdditionalPatientHistory PatientComments ClinicalTrialTimePointDescription
     ClinicalTrialSeriesDescription MakerNote DeviceSettingDescription AcquisitionComments
     RespiratoryMotionCompensationTechniqueDescription MultienergyAcquisitionDescription
     DecompositionDescription AcquisitionProtocolDescription RequestedSeriesDescription
     ContributionDescription PyramidLabel ImageComments FrameComments ReasonForStudy ReasonForVisit
     ReasonForVisitCodeSequence RequestedContrastAgent StudyComments DischargeDiagnosisDescription
     ServiceEpisodeDescription VisitComments WaveformFilterDescription FilterLookupTableDescription
     ScheduledProcedureStepDescription PerformedProcedureStepDescription RequestAttributesSequence
     CommentsOnThePerformedProcedureStep CommentsOnRadiationDose ContainerDescription
     SpecimenShortDescription SpecimenDetailedDescription ReasonForTheRequestedProcedure
     ReasonForRequestedProcedureCodeSequence RequestedProcedureComments
     ReasonForTheImagingServiceRequest ImagingServiceRequestComments LongDeviceDescription
     AnnotationGroupDescription PositionAcquisitionTemplateName
     PositionAcquisitionTemplateDescription StructureSetName StructureSetDescription ROIDescription
     ROIGenerationDescription ROIObservationLabel ROIObservationDescription RTPlanName
     RTPlanDescription TreatmentSites PrescriptionDescription DoseReferenceDescription
     FractionGroupDescription BeamDescription BolusDescription FixationDeviceDescription
     ShieldingDeviceDescription SetupTechniqueDescription CompensatorDescription
     EquipmentFrameOfReferenceDescription PatientTreatmentPreparationProcedureParameterDescription
     PatientTreatmentPreparationMethodDescription PatientSetupPhotoDescription
     DisplacementReferenceLabel ReasonForOmissionDescription EntityName EntityDescription
     PriorTreatmentDoseDescription InterpretationText InterpretationDiagnosisDescription Impressions
     ResultsComments`,
  ],
  [
    'X',
    'device',
    `LensSpecification LensMake LensModel LensSerialNumber PlateID GeneratorID CassetteID GantryID
     UniqueDeviceIdentifier UDISequence TransducerIdentificationSequence XRayDetectorLabel
     ModifyingDeviceID ScheduledStudyLocation ScheduledStationName ScheduledProcedureStepLocation
     PerformedStationName ScheduledStationNameCodeSequence
     ScheduledStationGeographicLocationCodeSequence PerformedStationNameCodeSequence
     PerformedStationGeographicLocationCodeSequence DeviceDescription SourceManufacturer`,
  ],
  [
    'X',
    'device dates',
    `CalibrationTime CalibrationDate DateOfLastCalibration TimeOfLastCalibration
     DateTimeOfLastCalibration DateOfManufacture DateOfInstallation`,
  ],
  [
    'X',
    'device~',
    `RetrieveAETitle StationAETitle NetworkID ScheduledStudyLocationAETitle ScheduledStationAETitle
     PerformedStationAETitle ReceivingAE RequestingAE Originator`,
  ],
  [
    'X',
    'institution',
    `InstitutionAddress InstitutionalDepartmentName InstitutionalDepartmentTypeCodeSequence`,
  ],
  ['X', 'patient', `PatientAge PatientSize PatientWeight EthnicGroup SmokingStatus PregnancyStatus`],
  ['X', 'patient~', `SpecialNeeds PreMedication`],
  ['X', 'patient~ desc~', `Allergies PatientState`],
  ['X', 'uids', `AffectedSOPInstanceUID ReferencedPatientSequence`],
  ['Z/D', '', `PatientID ContentCreatorName`],
  ['Z/D', 'dates', `ContentDate ContentTime InstructionPerformedDateTime`],
  ['Z/D', 'desc~', `ContrastBolusAgent`],
  [
    'Z',
    '',
    `AccessionNumber ReferringPhysicianName ConsultingPhysicianName PatientName PatientBirthDate
     ClinicalTrialProtocolName ClinicalTrialTimePointID StudyID
     IssuerOfTheContainerIdentifierSequence IssuerOfTheSpecimenIdentifierSequence
     PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
     VerifyingObserverIdentificationCodeSequence ROIInterpreter RTAccessoryHolderSlotID
     RTAccessoryDeviceSlotID DeviceAlternateIdentifier`,
  ],
  [
    'Z',
    'dates',
    `StudyDate StudyTime ParticipationDateTime StructureSetDate StructureSetTime ReviewDate
     ReviewTime`,
  ],
  [
    'Z',
    'desc~',
    `ROIName RadiationGenerationModeDescription ConceptualVolumeCombinationDescription
     ConceptualVolumeDescription RTPhysicianIntentNarrative ReasonForSuperseding
     TreatmentTechniqueNotes PrescriptionNotes FractionationNotes PrescriptionNotesSequence`,
  ],
  ['Z', 'device', `ManufacturerDeviceIdentifier`],
  ['Z', 'device dates', `CalibrationDateTime`],
  [
    'Z',
    'institution',
    `ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialCoordinatingCenterName
     SourceOfPreviousValues`,
  ],
  ['Z', 'patient', `PatientSex`],
  ['Z', 'struct~', `SpecimenPreparationSequence`],
];

export const CONFIDENTIALITY_TABLE: readonly ConfidentialityRow[] = GROUPS.flatMap(
  ([basic, options, keywords]) =>
    keywords.split(/\s+/).map((keyword) => ({
      keyword,
      basic,
      options: options.split(' ').filter(Boolean) as OptionWord[],
    })),
);
