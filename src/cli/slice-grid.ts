/** The grid of the synthetic CT's slices; shared by the phantom that fills it and the header that describes it. */
export const ROWS = 512;
export const COLUMNS = 512;
/** mm, the same in both directions */
export const PIXEL_SPACING = 0.8;
