// Line and stacked-area charts in SVG. A pointer or the arrow keys read off a moment; a sentence says it to screen readers.
const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 168, LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 22;

export function svg(name, attributes, ...children) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// A round number at or above, so that the axis has readable marks.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

export class Chart {
  constructor(figure) {
    this.figure = figure;
    this.title = document.createElement("figcaption");
    this.legend = document.createElement("ul");
    this.legend.className = "legend";
    this.box = document.createElement("div");
    this.box.className = "plot";
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "img");
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    figure.replaceChildren(this.title, this.legend, this.box, this.tip);
    this.at = null;
    this.box.addEventListener("pointermove", (event) => this.point(event.clientX - this.box.getBoundingClientRect().left));
    this.box.addEventListener("pointerleave", () => this.choose(null));
    this.box.addEventListener("blur", () => this.choose(null));
    this.box.addEventListener("keydown", (event) => {
      const last = (this.data?.times.length ?? 0) - 1;
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") this.choose(null);
      if (step === undefined || last < 0) return;
      event.preventDefault();
      this.choose(Math.max(0, Math.min(last, (this.at ?? last + (step < 0 ? 1 : 0)) + step)));
    });
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  clear() {
    this.data = null;
    this.choose(null);
    for (const part of [this.title, this.legend, this.box]) part.replaceChildren();
    this.box.removeAttribute("aria-label");
  }

  // data: { title, none, times: [ms], series: [{ name, tone, values, }], stacked, format, time }
  show(data) {
    this.data = data;
    this.title.textContent = data.title;
    this.legend.replaceChildren(...data.series.map(({ name, tone }) => {
      const item = document.createElement("li");
      item.className = `tone-${tone}`;
      item.textContent = name;
      return item;
    }));
    this.draw();
  }

  draw() {
    const { data } = this;
    const width = this.box.clientWidth;
    if (!data || width < 60) return;
    const { times, series, stacked } = data;
    const values = series.map(({ values }) => values);
    const tops = stacked ? stack(values) : values;
    const known = tops.flat().filter((value) => value !== null && Number.isFinite(value));
    const most = ceiling(Math.max(0, ...known));
    const [first, last] = [times[0], times.at(-1)];
    this.x = (at) => LEFT + (last > first ? (times[at] - first) / (last - first) : 1) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (1 - value / most) * (HEIGHT - TOP - BOTTOM);
    const root = svg("svg", { width, height: HEIGHT, "aria-hidden": "true" });
    for (const share of [0, 0.5, 1]) {
      const at = y(most * share);
      root.append(svg("line", { x1: LEFT, x2: width - RIGHT, y1: at, y2: at, class: "grid" }),
        svg("text", { x: LEFT - 6, y: at + 4, class: "mark end" }, data.format(most * share)));
    }
    if (times.length > 1) {
      const marks = width > 420 ? 4 : 2;
      for (let mark = 0; mark <= marks; mark++) {
        const place = LEFT + (width - LEFT - RIGHT) * mark / marks;
        const kind = mark === 0 ? "" : mark === marks ? " end" : " middle";
        root.append(svg("text", { x: place, y: HEIGHT - 5, class: `mark${kind}` }, data.time(first + (last - first) * mark / marks)));
      }
    }
    tops.forEach((line, number) => {
      const tone = `tone-${series[number].tone}`;
      if (stacked && line.length) {
        const below = number ? tops[number - 1] : line.map(() => 0);
        const up = line.map((value, at) => `${this.x(at)},${y(value)}`);
        const down = below.map((value, at) => `${this.x(at)},${y(value)}`).reverse();
        root.append(svg("path", { d: `M${[...up, ...down].join("L")}Z`, class: `area ${tone}` }));
      }
      const runs = [[]];
      line.forEach((value, at) => {
        // A layer that is empty there must not draw over the one below it.
        const empty = stacked && !values[number][at];
        if (value === null || empty) runs.push([]);
        else runs.at(-1).push(`${this.x(at)},${y(value)}`);
      });
      for (const run of runs.filter((run) => run.length)) {
        // A single point is a dash: a line of no length would not be seen.
        const path = run.length > 1 ? `M${run.join("L")}` : `M${run[0]}h3`;
        root.append(svg("path", { d: path, class: `line ${tone}` }));
      }
    });
    if (!known.length || times.length < 2) {
      root.append(svg("text", { x: (width + LEFT) / 2, y: HEIGHT / 2, class: "mark middle" }, data.none));
    }
    this.cursor = svg("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor", visibility: "hidden" });
    root.append(this.cursor);
    this.box.replaceChildren(root);
    this.box.setAttribute("aria-label", this.sentence(times.length - 1));
    this.choose(this.at);
  }

  sentence(at) {
    const { title, series, times, format, time } = this.data;
    if (at < 0) return title;
    const parts = series.map(({ name, values }) => `${name} ${values[at] === null ? "–" : format(values[at])}`);
    return `${title}, ${time(times[at])}: ${parts.join(", ")}`;
  }

  point(place) {
    const times = this.data?.times ?? [];
    if (!this.x || !times.length) return;
    let best = 0;
    times.forEach((_, at) => { if (Math.abs(this.x(at) - place) < Math.abs(this.x(best) - place)) best = at; });
    this.choose(best);
  }

  choose(at) {
    this.at = at !== null && at < (this.data?.times.length ?? 0) ? at : null;
    this.tip.hidden = this.at === null;
    this.cursor?.setAttribute("visibility", this.at === null ? "hidden" : "visible");
    if (this.at === null) return;
    const place = this.x(this.at);
    this.cursor.setAttribute("x1", place);
    this.cursor.setAttribute("x2", place);
    this.tip.textContent = this.sentence(this.at).replace(`${this.data.title}, `, "");
    this.box.setAttribute("aria-label", this.sentence(this.at));
  }
}

function stack(values) {
  const tops = [];
  values.forEach((line, number) => tops.push(line.map((value, at) => (value ?? 0) + (number ? tops[number - 1][at] : 0))));
  return tops;
}
