
// What a person can do: point at words and regions, by mouse or keys, and choose answers and views.

// ------------------------------------------------------------------------------------------------------ building

function make(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function build() {
  element("title").textContent = data.title;
  element("question").textContent = data.question;
  element("question").hidden = !data.has_own_title;
  element("words").dir = data.direction;
  data.words.forEach((text) => {
    const word = make("div", "word");
    word.append(make("bdi", "", text), make("small", ""));
    word.title = text;
    element("words").append(word);
  });
  const [height, width] = data.image_size;
  const stage = element("stage");
  stage.style.aspectRatio = `${width} / ${height}`;
  stage.style.width = `max(min(100%, 8rem), min(100%, 68vh * ${width / height}))`;
  data.boxes.forEach(([left, top, right, bottom]) => {
    const region = make("div", "region");
    region.style.left = `${(100 * left) / width}%`;
    region.style.top = `${(100 * top) / height}%`;
    region.style.width = `${(100 * (right - left)) / width}%`;
    region.style.height = `${(100 * (bottom - top)) / height}%`;
    element("regions").append(region);
  });
  for (const side of SIDES) buildListbox(element(side), side);
  buildPointing();
  buildAnswers();
  buildView();
  buildStrongest();
  element("notes").hidden = !data.notes.length;
  element("note-list").append(...data.notes.map((note) => make("li", "", note)));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose({ pinned: null });
  });
  darkScheme.addEventListener("change", render);
}

/** Changes what is chosen and shows it, once for each frame at most. */
let waiting = false;
function choose(changes) {
  const differs = (one, other) => one !== other && !same(one, other);
  const changed = Object.keys(changes).some((name) => differs(chosen[name], changes[name]));
  Object.assign(chosen, changes);
  if (!changed || waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    render();
  });
}

const pin = (here) => choose({ pinned: same(chosen.pinned, here) ? null : here });

/** One stop of the Tab key for all options; arrow keys go from one to the next. */
function buildListbox(list, side) {
  const options = [...list.children];
  options.forEach((option, index) => {
    option.setAttribute("role", "option");
    option.tabIndex = index === 0 ? 0 : -1;
    option.addEventListener("focus", () => {
      options.find((other) => other.tabIndex === 0).tabIndex = -1;
      option.tabIndex = 0;
      // A click gives the focus, too, but then the pointer says what is looked at.
      if (option.matches(":focus-visible")) choose({ focused: { side, index } });
    });
    option.addEventListener("blur", () => choose({ focused: null }));
  });
  const onward = side === "words" && data.direction === "rtl" ? "ArrowLeft" : "ArrowRight";
  const steps = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity, ArrowLeft: -1, ArrowRight: -1 };
  steps[onward] = 1;
  list.addEventListener("keydown", (event) => {
    const index = options.indexOf(event.target);
    if (event.key === "Enter" || event.key === " ") pin({ side, index });
    else if (event.key in steps && !event.altKey && !event.ctrlKey && !event.metaKey) {
      options[Math.max(0, Math.min(options.length - 1, index + steps[event.key]))].focus();
    } else return;
    event.preventDefault();
  });
}

function buildPointing() {
  [...element("words").children].forEach((word, index) => {
    word.addEventListener("pointerenter", () => choose({ pointed: { side: "words", index } }));
    word.addEventListener("pointerleave", () => choose({ pointed: null }));
    word.addEventListener("click", () => pin({ side: "words", index }));
  });
  const regions = element("regions");
  regions.addEventListener("pointermove", (event) => choose({ pointed: regionAt(event) }));
  regions.addEventListener("pointerleave", () => choose({ pointed: null }));
  regions.addEventListener("click", (event) => {
    const here = regionAt(event);
    if (here) pin(here);
  });
}

/** The smallest region below the pointer: of regions that lie in others, each can be reached. */
function regionAt(event) {
  const stage = element("stage").getBoundingClientRect();
  const toImage = data.image_size[1] / stage.width;
  const x = (event.clientX - stage.left) * toImage;
  const y = (event.clientY - stage.top) * toImage;
  let found = null;
  let smallest = Infinity;
  data.boxes.forEach(([left, top, right, bottom], index) => {
    const area = (right - left) * (bottom - top);
    if (left <= x && x <= right && top <= y && y <= bottom && area < smallest) {
      smallest = area;
      found = { side: "regions", index };
    }
  });
  return found;
}

function radio(name, checked, onChoose) {
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name, checked });
  input.addEventListener("change", onChoose);
  return input;
}

function buildAnswers() {
  for (const { text, probability, explained: number } of data.answers) {
    const row = make(number === null ? "div" : "label", "answer");
    const name = make("bdi", "name", text);
    name.title = text;
    const track = make("div", "track");
    track.append(document.createElement("i"));
    track.firstChild.style.width = `${100 * (probability ?? 0)}%`;
    const percent = probability === null ? "" : `${(100 * probability).toFixed(1)} %`;
    const mark = number === null ? make("span", "") : radio("answer", number === view.answer, () => {
      view.answer = number;
      changeView();
    });
    row.append(mark, name, make("span", "number", percent), track);
    if (number !== null) row.dataset.explained = number;
    element("answers").append(row);
  }
}

function buildView() {
  const titles = { relevance: "Relevance for the answer", attention: "Attention" };
  const there = { relevance: data.methods.length && explained.length, attention: data.kinds.length };
  for (const show of Object.keys(titles)) {
    if (!there[show]) continue;
    const field = make("label", "");
    field.append(radio("show", view.show === show, () => {
      view.show = show;
      changeView();
    }), titles[show]);
    element("shows").append(field);
  }
  fill("method", data.methods.map(({ title }, i) => [i, title]));
  fill("kind", data.kinds.map(({ title }, i) => [i, title]));
  for (const name of ["method", "kind", "layer", "head"]) {
    element(name).addEventListener("change", () => {
      const value = element(name).value;
      view[name] = value === "" ? null : Number(value);
      if (name === "kind") view.layer = view.head = null;
      changeView();
    });
  }
}

/** Options as [value, text]. */
function fill(select, options) {
  element(select).replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}

function changeView() {
  const isRelevance = view.show === "relevance";
  element("method-field").hidden = !isRelevance;
  element("kind-field").hidden = element("map-fields").hidden = isRelevance;
  element("answers").disabled = !isRelevance; // attention is the same for every answer
  document.querySelectorAll(".answer").forEach((row) => {
    row.classList.toggle("chosen", isRelevance && row.dataset.explained === String(view.answer));
  });
  element("sentence").textContent = isRelevance ? data.methods[view.method].sentence : offerMaps();
  render();
}

/** Offers the layers and heads of the chosen kind, and says what is looked at. */
function offerMaps() {
  const kind = data.kinds[view.kind];
  const map = maps[`attention/${kind.name}`];
  const leftOut = ["layers", "heads"].filter((name) => map[name] < kind[name]);
  fillCounted("layer", kind.layers, map.layers);
  fillCounted("head", kind.heads, map.heads);
  const absent = leftOut.length ? ` Single ${leftOut.join(" and ")} were left out of this page.` : "";
  return `${kind.sentence} The weights of a row add up to 1, whatever the answer.${absent}`;
}

/** The mean and, unless they were left out of the page, each layer or head. */
function fillCounted(name, count, kept) {
  const mean = [["", `mean of ${count}`]];
  const each = Array.from({ length: kept }, (_, i) => [i, `${name} ${i}`]);
  fill(name, count === 1 ? each : kept === 1 ? mean : [...mean, ...each]);
  element(name).disabled = kept === 1;
  element(name).value = view[name] === null && count > 1 ? "" : String(view[name] ?? 0);
}

function buildStrongest() {
  for (const side of SIDES) {
    const part = make("div", "");
    const list = make("ol", "");
    list.id = `strongest-${side}`;
    for (let place = 0; place < LISTED; place++) {
      const row = make("button", "row");
      const track = make("span", "track");
      track.append(document.createElement("i"));
      row.append(make("bdi", "name"), make("span", "number"), track);
      const here = () => ({ side, index: Number(row.dataset.index) });
      for (const event of ["pointerenter", "focus"]) row.addEventListener(event, () => choose({ located: here() }));
      for (const event of ["pointerleave", "blur"]) row.addEventListener(event, () => choose({ located: null }));
      row.addEventListener("click", () => pin(here()));
      const item = document.createElement("li");
      item.append(row);
      list.append(item);
    }
    part.append(make("h3", "", side), list);
    element("strongest").append(part);
  }
}

async function loadPicture() {
  if (!data.picture) return;
  picture = new Image();
  picture.src = data.picture;
  await picture.decode();
}

async function start() {
  const names = Object.keys(data.blocks);
  const [unpacked] = await Promise.all([Promise.all(names.map((name) => unpack(data.blocks[name]))), loadPicture()]);
  maps = Object.fromEntries(names.map((name, i) => [name, unpacked[i]]));
  build();
  element("main").hidden = false;
  changeView();
  // Drawn again whenever the room for the picture changes, also for the first time.
  new ResizeObserver(() => renderPicture()).observe(element("stage"));
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  element("failure").textContent = `This browser cannot show the page (${error}). A current one can.`;
  element("failure").hidden = false;
});
