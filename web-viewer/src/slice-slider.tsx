/** The slider beside the picture: where in the stack the reader is, first image at the top. */
interface SliceSliderProps {
  count: number;
  index: number;
  onGoTo: (index: number) => void;
}

export function SliceSlider({ count, index, onGoTo }: SliceSliderProps) {
  return (
    <input
      className="slice-slider"
      type="range"
      aria-label="Image in the series"
      aria-orientation="vertical"
      aria-valuetext={`Image ${index + 1} of ${count}`}
      min={0}
      max={count - 1}
      step={1}
      value={index}
      onChange={(event) => onGoTo(event.target.valueAsNumber)}
    />
  );
}
