/**
 * The schema of a rule's `mask`: which part of an image is blanked, and of which images.
 * Part of rule-transform.ts, in a file of its own for its length.
 */
import { z } from 'zod';

const pixels = z.number().int().min(0).max(65_535);
const extent = z.number().int().min(1).max(65_535);
const value = z.union([z.string().min(1).max(1000), z.number()]);

const regionSchema = z.union(
  [
    z
      .strictObject({ edge: z.enum(['top', 'bottom', 'left', 'right']), pixels: extent })
      .describe('A bar along a whole edge'),
    z.strictObject({ left: pixels, top: pixels, width: extent, height: extent }).describe('A rectangle'),
    z
      .strictObject({ right: pixels, top: pixels, width: extent, height: extent })
      .describe('A rectangle, so many pixels from the right edge'),
    z.strictObject({ left: pixels, bottom: pixels, width: extent, height: extent }),
    z.strictObject({ right: pixels, bottom: pixels, width: extent, height: extent }),
  ],
  {
    error:
      'expected {"edge": "top", "pixels": 60} or {"left": 0, "top": 0, "width": 300, "height": 40} ' +
      '("right" for "left" and "bottom" for "top" count from there), in pixels',
  },
);

const oneMask = z
  .strictObject({
    when: z
      .record(z.string().min(1).max(500), z.union([value, z.array(value).min(1).max(1000)]))
      .optional()
      .describe(
        'Of which images, by what their header says as it is stored: keywords with a value, or several of which one; ' +
          '* and ? are wildcards. Without it, of all',
      ),
    regions: z.array(regionSchema).min(1).max(100).optional().describe('Blanked, in every frame'),
    outsideUltrasoundRegions: z
      .literal(true)
      .optional()
      .describe(
        'Everything outside of the regions of (0018,6011) SequenceOfUltrasoundRegions is blanked; ' +
          'the mask is not for images without them',
      ),
    textFree: z
      .boolean()
      .optional()
      .describe(
        'You have looked: with this mask nothing in the picture names the patient. BurnedInAnnotation becomes NO',
      ),
  })
  .refine((mask) => mask.regions !== undefined || mask.outsideUltrasoundRegions !== undefined, {
    error: 'expected "regions", "outsideUltrasoundRegions" or both',
  });

/** One mask, or several of which the first that is for an image is drawn. */
export const maskSchema = z.union([oneMask, z.array(oneMask).min(1).max(500)]);
