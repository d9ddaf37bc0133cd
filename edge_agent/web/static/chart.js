// A small curve of the last hour or so, drawn without axes: its numbers stand beside it in words.

const watched = new Map();
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) watched.get(target)?.();
});

/** A canvas that draws what `series()` gives: [milliseconds, value or null], oldest first, between low and high. */
export function curve(series, { low = 0, high = null } = {}) {
  const canvas = document.createElement("canvas");
  canvas.className = "curve";
  canvas.setAttribute("role", "img");
  const draw = () => paint(canvas, series(), low, high);
  watched.set(canvas, draw);
  sizes.observe(canvas);
  return { canvas, draw };
}

function paint(canvas, points, low, high) {
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const known = points.filter(([, value]) => value !== null && value !== undefined);
  if (known.length < 2) return;
  const values = known.map(([, value]) => value);
  const bottom = low ?? Math.min(...values);
  const top = Math.max(high ?? Math.max(...values), bottom + 1e-9);
  const margin = (top - bottom) * 0.08;
  const [first, last] = [known[0][0], known[known.length - 1][0]];
  const x = (at) => ((at - first) / Math.max(1, last - first)) * (width - 4) + 2;
  const y = (value) => height - 2 - ((value - bottom) / (top - bottom + margin)) * (height - 4);
  const style = getComputedStyle(canvas);
  pen.beginPath();
  known.forEach(([at, value], place) => pen[place ? "lineTo" : "moveTo"](x(at), y(value)));
  pen.strokeStyle = style.color;
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
  pen.lineTo(x(last), height);
  pen.lineTo(x(first), height);
  pen.globalAlpha = 0.12;
  pen.fillStyle = style.color;
  pen.fill();
  pen.globalAlpha = 1;
  pen.beginPath();
  pen.arc(x(last), y(values[values.length - 1]), 2, 0, 7);
  pen.fill();
}

// In the colours of the moment.
new MutationObserver(() => watched.forEach((draw) => draw())).observe(document.documentElement, { attributeFilter: ["data-look"] });
