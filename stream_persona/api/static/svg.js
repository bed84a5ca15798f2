// What charts are drawn of: SVG elements, and the paths of lines and areas.

const SVG = "http://www.w3.org/2000/svg";

/** Create an element. Colours may be the style sheet's variables, so that they follow the theme. */
export function shape(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props ?? {}))
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Of a figure as large as its place: what is in it is in pixels from its left upper corner. */
export const figure = (width, height, shapes) =>
  shape(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    ...shapes,
  );

export const text = (x, y, content, props) => {
  const element = shape("text", { x: round(x), y: round(y), ...props });
  element.textContent = content;
  return element;
};

export const segment = (x1, y1, x2, y2, props) =>
  shape("line", { x1: round(x1), y1: round(y1), x2: round(x2), y2: round(y2), ...props });

/** Tenths of a pixel are enough. */
export const round = (value) => Math.round(10 * value) / 10;

/** A line through points; it is broken where y is null, and a point by itself is a dot. */
export function line(points) {
  let isDown = false;
  const parts = points.map(([x, y]) => {
    if (y === null) {
      isDown = false;
      return "";
    }
    const part = `${isDown ? "L" : "M"}${round(x)},${round(y)}${isDown ? "" : "h0"}`;
    isDown = true;
    return part;
  });
  return parts.join("");
}

/** A line that holds each value until the next point. */
export const steps = (points) =>
  points.map(([x, y], i) => (i ? `H${round(x)}V${round(y)}` : `M${round(x)},${round(y)}`)).join("");

/** The area between two lines of the same x. */
export function area(upper, lower) {
  const around = [...upper, ...[...lower].reverse()];
  return `M${around.map(([x, y]) => `${round(x)},${round(y)}`).join("L")}Z`;
}

/** The areas under a line, down to `floor`: one for each stretch without a gap. */
export function under(points, floor) {
  const stretches = [[]];
  for (const point of points)
    if (point[1] === null) stretches.push([]);
    else stretches.at(-1).push(point);
  return stretches
    .filter((each) => each.length > 1)
    .map((each) =>
      area(
        each,
        [each[0], each.at(-1)].map(([x]) => [x, floor]),
      ),
    )
    .join("");
}

/** A band that swings from one height at the left to another at the right. */
export function band(left, [top, bottom], right, [otherTop, otherBottom]) {
  const middle = round((left + right) / 2);
  const swing = (from, x, to) =>
    `C${middle},${round(from)} ${middle},${round(to)} ${x},${round(to)}`;
  return (
    `M${left},${round(top)}${swing(top, right, otherTop)}` +
    `V${round(otherBottom)}${swing(otherBottom, left, bottom)}Z`
  );
}
