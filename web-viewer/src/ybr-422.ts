/**
 * Native YBR_FULL_422 pixels (PS3.3 C.7.6.3.1.2) as RGB. Cornerstone 5.14 mistakes how long such a frame is and shows
 * it unconverted. Pure; called by frame-loader.ts.
 */

/** Two pixels come as Y1 Y2 Cb Cr; the answer has R G B for each. `pixels` is even: PS3.3 asks for even columns. */
export function rgbFromYbr422(ybr: Uint8Array, pixels: number): Uint8Array<ArrayBuffer> {
  const rgb = new Uint8ClampedArray(pixels * 3);
  for (let pixel = 0; pixel < pixels; pixel += 2) {
    const at = pixel * 2;
    const blue = ybr[at + 2]! - 128;
    const red = ybr[at + 3]! - 128;
    for (let i = 0; i < 2; i++) {
      const luminance = ybr[at + i]!;
      const to = (pixel + i) * 3;
      rgb[to] = luminance + 1.402 * red;
      rgb[to + 1] = luminance - 0.344136 * blue - 0.714136 * red;
      rgb[to + 2] = luminance + 1.772 * blue;
    }
  }
  return new Uint8Array(rgb.buffer);
}
