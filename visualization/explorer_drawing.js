
// What the page shows: words, the picture with its regions, the legend and the strongest weights.

// ------------------------------------------------------------------------------------------------------- colours

/**
 * The colour of a share in [0, 1] as [red, green, blue]; strong is dark on light pages and light on dark ones.
 * The smallest shares fade into a ground, so that what has no weight stands out from nothing.
 */
function colourOf(share, ground = "--paper") {
  const place = (darkScheme.matches ? 0.16 + 0.8 * share : 1 - 0.78 * share) * (data.colours.length - 1);
  const lower = Math.min(Math.floor(place), data.colours.length - 2);
  const colour = mixed(data.colours[lower], data.colours[lower + 1], place - lower);
  return mixed(rgbOf(ground), colour, Math.min(1, share / FADE)).map(Math.round);
}

const mixed = (one, other, share) => one.map((value, i) => value + (other[i] - value) * share);
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgbOf = (name) => [1, 3, 5].map((start) => parseInt(grounds[name].slice(start, start + 2), 16));
let grounds = {}; // of the colours of the page as #rrggbb, by name; asking the page for each word would take long
const css = ([red, green, blue], opacity = 1) => `rgba(${red}, ${green}, ${blue}, ${opacity})`;

/** Black or white, whichever is read better on a colour (relative luminance of WCAG 2). */
function inkOn(colour) {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

function numberOf(weight) {
  if (weight === 0) return "0";
  if (weight < 0.00005) return weight.toExponential(1);
  return weight.toFixed(weight < 0.01 ? 4 : weight < 10 ? 3 : 1);
}

// ------------------------------------------------------------------------------------------------------- drawing

/** What is drawn: weights, largest weight of each side, and shares of it. */
let drawn = null;

function render() {
  const weights = weightsNow();
  grounds = { "--paper": variable("--paper"), "--weak": variable("--weak") };
  drawn = { weights, top: {}, shares: {} };
  for (const side of SIDES) {
    if (!weights[side]) continue;
    const own = weights.own?.side === side ? weights.own.index : -1;
    const others = weights[side].map((weight, i) => (i === own ? 0 : weight));
    const top = Math.max(...others);
    drawn.top[side] = top;
    drawn.shares[side] = others.map((weight) => (top ? weight / top : 0));
  }
  renderWords();
  renderRegionLabels();
  renderPicture();
  renderCaption();
  renderLegend();
  renderStrongest();
}

function renderWords() {
  const subject = subjectNow();
  const shares = drawn.shares.words;
  [...element("words").children].forEach((word, index) => {
    const here = { side: "words", index };
    const isOwn = same(drawn.weights.own, here);
    const colour = shares && !isOwn ? colourOf(shares[index]) : null;
    word.style.background = colour ? css(colour) : "";
    word.style.color = colour ? inkOn(colour) : "";
    word.classList.toggle("subject", same(subject, here));
    word.classList.toggle("located", same(chosen.located, here));
    word.setAttribute("aria-selected", String(same(chosen.pinned, here)));
    word.lastChild.textContent = shares ? numberOf(drawn.weights.words[index]) : "";
    label(word, here);
  });
}

function renderRegionLabels() {
  [...element("regions").children].forEach((region, index) => {
    const here = { side: "regions", index };
    region.setAttribute("aria-selected", String(same(chosen.pinned, here)));
    label(region, here);
  });
}

function label(option, { side, index }) {
  const weights = drawn.weights[side];
  const name = side === "words" ? `word ${index}, ${data.words[index]}` : nameOf({ side, index });
  option.setAttribute("aria-label", weights ? `${name}: ${numberOf(weights[index])}` : name);
}

function renderPicture() {
  const canvas = element("canvas");
  const size = element("stage").getBoundingClientRect();
  const density = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(size.width * density));
  canvas.height = Math.max(1, Math.round(size.height * density));
  const pen = canvas.getContext("2d");
  pen.scale(canvas.width / size.width, canvas.height / size.height);
  const shares = drawn.shares.regions;
  if (picture) {
    pen.imageSmoothingEnabled = size.width < 4 * picture.width; // drawings of few pixels stay sharp
    pen.drawImage(picture, 0, 0, size.width, size.height);
  } else {
    pen.fillStyle = variable("--faint");
    pen.fillRect(0, 0, size.width, size.height);
  }
  const toPage = size.width / data.image_size[1];
  const boxes = data.boxes.map((box) => {
    const [left, top, right, bottom] = box.map((place) => place * toPage);
    return [left, top, right - left, bottom - top];
  });
  // The strongest regions come last, above the others.
  const order = boxes.map((_, i) => i);
  if (shares) order.sort((one, other) => shares[one] - shares[other]);
  if (shares) pen.drawImage(veil(boxes, order, shares, size), 0, 0, size.width, size.height);
  const faint = 0.5 * Math.min(1, CROWD / boxes.length);
  const casing = variable("--casing");
  for (const index of order) {
    const share = shares ? shares[index] : 0;
    const width = 1 + 2.7 * share;
    pen.globalAlpha = faint + (1 - faint) * share;
    if (share > 2 * FADE) outline(pen, boxes[index], width + 1.5, size, casing);
    outline(pen, boxes[index], width, size, css(colourOf(share, "--weak")));
  }
  pen.globalAlpha = 1;
  for (const marked of [subjectNow(), chosen.located]) {
    if (marked?.side !== "regions") continue;
    outline(pen, boxes[marked.index], 4.5, size, casing);
    outline(pen, boxes[marked.index], 3, size, variable("--accent"), [7, 4]);
  }
  if (shares) renderTags(pen, boxes, order, size);
}

/** A veil over the picture, thinner where a region that lies there is stronger. */
function veil(boxes, order, shares, size) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(size.width));
  canvas.height = Math.max(1, Math.round(size.height));
  const pen = canvas.getContext("2d");
  pen.fillStyle = variable("--veil");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  for (const index of order) {
    const box = boxes[index].map(Math.round); // parts of pixels would leave seams
    pen.clearRect(...box);
    pen.globalAlpha = 1 - shares[index];
    pen.fillRect(...box);
  }
  return canvas;
}

/** Around a box, not over what is in it, as far as the picture has room. */
function outline(pen, [left, top, width, height], line, size, colour, dashes = []) {
  const half = line / 2;
  const [x, y] = [Math.max(half, left - half), Math.max(half, top - half)];
  const right = Math.min(size.width - half, left + width + half);
  const bottom = Math.min(size.height - half, top + height + half);
  pen.setLineDash(dashes);
  pen.lineWidth = line;
  pen.strokeStyle = colour;
  pen.strokeRect(x, y, right - x, bottom - y);
}

/** The weights of the strongest regions, as far as one does not cover another. */
function renderTags(pen, boxes, order, size) {
  const height = 17;
  const there = [];
  pen.font = "600 12px system-ui, sans-serif";
  for (const index of order.slice(-TAGGED).reverse()) {
    const share = drawn.shares.regions[index];
    const text = numberOf(drawn.weights.regions[index]);
    const width = pen.measureText(text).width + 8;
    const x = Math.max(0, Math.min(boxes[index][0], size.width - width));
    const above = boxes[index][1] - height; // so that it hides nothing of the region, if there is room
    const y = above >= 0 ? above : Math.min(boxes[index][1], size.height - height);
    const covers = there.some(([left, top, right]) => x < right && x + width > left && Math.abs(y - top) < height);
    if (covers || share === 0) continue;
    there.push([x, y, x + width]);
    pen.fillStyle = css(colourOf(share));
    pen.fillRect(x, y, width, height);
    pen.fillStyle = inkOn(colourOf(share));
    pen.fillText(text, x + 4, y + 13);
  }
}

function renderCaption() {
  const [before, name, after] = drawn.weights.sentence;
  const strong = document.createElement("strong");
  strong.textContent = name;
  const parts = [before, strong, after + (chosen.pinned ? " (pinned)" : "")];
  const seen = chosen.located ?? (chosen.pinned ? chosen.pointed ?? chosen.focused : null);
  const weights = seen && drawn.weights[seen.side];
  if (weights) parts.push(` ${nameOf(seen)}: ${numberOf(weights[seen.index])}.`);
  if (data.picture_note) parts.push(` (${data.picture_note})`);
  element("caption").replaceChildren(...parts);
}

function renderLegend() {
  const parts = [];
  for (const side of SIDES) {
    if (!drawn.shares[side]) continue;
    const name = make("span", "", side);
    const scale = make("div", "");
    const ramp = make("div", "ramp");
    const stops = Array.from({ length: 13 }, (_, i) => css(colourOf(i / 12)));
    ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const ticks = make("div", "ticks");
    ticks.append(...[0, 0.5, 1].map((share) => make("span", "", numberOf(share * drawn.top[side]))));
    scale.append(ramp, ticks);
    parts.push(name, scale);
  }
  element("legend").replaceChildren(...parts);
}

function renderStrongest() {
  for (const side of SIDES) {
    const list = element(`strongest-${side}`);
    const weights = drawn.weights[side];
    list.parentElement.hidden = !weights;
    if (!weights) continue;
    const own = drawn.weights.own?.side === side ? drawn.weights.own.index : -1;
    const order = [...weights.keys()].filter((i) => i !== own).sort((one, other) => weights[other] - weights[one]);
    // The buttons stay, so that one with the focus keeps it.
    [...list.children].forEach((item, place) => {
      const index = order[place];
      item.hidden = index === undefined;
      if (item.hidden) return;
      const [name, number, track] = item.firstChild.children;
      item.firstChild.dataset.index = index;
      name.textContent = side === "words" ? data.words[index] : nameOf({ side, index });
      name.title = name.textContent;
      number.textContent = numberOf(weights[index]);
      track.firstChild.style.width = `${100 * drawn.shares[side][index]}%`;
    });
  }
}
