"use strict";

// What the page knows: the packed maps, what is chosen, and the weights that follow from it.

const SIDES = ["words", "regions"];
const LISTED = 6; // strongest words, and regions
const TAGGED = 3; // regions whose weight stands in the picture
const CROWD = 60; // of more regions, weak ones are drawn the fainter
const FADE = 0.1; // shares below it fade into what is behind
const data = JSON.parse(document.getElementById("explanation").textContent);
const element = (id) => document.getElementById(id);
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

// ---------------------------------------------------------------------------------------------------------- maps

/**
 * Maps (layers, heads, queries, keys): a byte for each weight, 255 standing for the largest weight of its row.
 * Where a query's own weight would dwarf the others, it stands apart, and 0 among them.
 */
class Maps {
  constructor({ shape, has_own: hasOwn }, bytes) {
    [this.layers, this.heads, this.queries, this.keys] = shape;
    const rows = this.layers * this.heads * this.queries;
    this.scales = new Float32Array(bytes, 0, rows);
    this.own = hasOwn ? new Float32Array(bytes, 4 * rows, rows) : null;
    this.codes = new Uint8Array(bytes, (hasOwn ? 8 : 4) * rows);
  }

  /** Calls visit with the number of the row of each chosen layer and head; null chooses all. Returns how many. */
  eachRow(query, layer, head, visit) {
    const layers = layer === null ? [...Array(this.layers).keys()] : [layer];
    const heads = head === null ? [...Array(this.heads).keys()] : [head];
    for (const l of layers) for (const h of heads) visit((l * this.heads + h) * this.queries + query);
    return layers.length * heads.length;
  }

  /** What a query looks at: (keys), the mean over the chosen layers and heads. */
  lookedAt(query, layer, head) {
    const sums = new Float64Array(this.keys);
    const count = this.eachRow(query, layer, head, (row) => {
      const scale = this.scales[row] / 255;
      const start = row * this.keys;
      for (let key = 0; key < this.keys; key++) sums[key] += this.codes[start + key] * scale;
      if (this.own) sums[query] += this.own[row];
    });
    return sums.map((sum) => sum / count);
  }

  /** How much each query looks at a key: (queries). */
  lookedAtBy(key, layer, head) {
    return Float64Array.from({ length: this.queries }, (_, query) => {
      let sum = 0;
      const count = this.eachRow(query, layer, head, (row) => {
        sum += (this.codes[row * this.keys + key] * this.scales[row]) / 255;
      });
      return sum / count;
    });
  }

  /** The mean of lookedAt over all queries: (keys). */
  lookedAtByAll(layer, head) {
    const sums = new Float64Array(this.keys);
    for (let query = 0; query < this.queries; query++) {
      this.lookedAt(query, layer, head).forEach((weight, key) => (sums[key] += weight / this.queries));
    }
    return sums;
  }
}

async function unpack(block) {
  const text = atob(block.packed);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Maps(block, await new Response(stream).arrayBuffer());
}

// --------------------------------------------------------------------------------------------------------- state

let maps = {}; // by name
let picture = null;
const explained = data.answers.filter((answer) => answer.explained !== null);
const view = {
  show: data.methods.length && explained.length ? "relevance" : "attention",
  answer: Math.min(...explained.map((answer) => answer.explained)), // the first that was asked for
  method: 0,
  kind: 0,
  layer: null, // the mean
  head: null,
};
// Words and regions as {side, index}: what the weights are seen from is the first that there is of the first three.
const chosen = { pinned: null, pointed: null, focused: null, located: null };

const same = (one, other) => one !== null && other !== null && one.side === other.side && one.index === other.index;
const subjectNow = () => chosen.pinned ?? chosen.pointed ?? chosen.focused;

function nameOf({ side, index }) {
  if (side === "words") return `“${data.words[index]}”`;
  const name = data.regions[index];
  return name === `region ${index}` ? name : `region ${index}, ${name}`;
}

/** The weights of words and regions, null where a side takes no part, and a sentence that says what they are. */
function weightsNow() {
  return view.show === "relevance" ? relevanceWeights(subjectNow()) : attentionWeights(subjectNow());
}

function relevanceWeights(subject) {
  const place = data.methods[view.method].places[view.answer];
  const from = subject ?? { side: "words", index: 0 };
  const found = { own: subject };
  for (const side of SIDES) found[side] = maps[`relevance/${from.side}_to_${side}`].lookedAt(from.index, place, 0);
  found.sentence = subject
    ? ["What the state of ", nameOf(subject), " is made of; its own part is not coloured."]
    : ["What the answer ", `“${explained.find((answer) => answer.explained === view.answer).text}”`,
       ` rests on: the state of ${data.words[0]}, from which it is read.`];
  return found;
}

function attentionWeights(subject) {
  const kind = data.kinds[view.kind];
  const map = maps[`attention/${kind.name}`];
  const head = map.heads === 1 ? 0 : view.head;
  const layer = map.layers === 1 ? 0 : view.layer;
  const found = { words: null, regions: null, own: null };
  if (subject?.side === kind.queries) {
    found[kind.keys] = map.lookedAt(subject.index, layer, head);
    found.sentence = [`Which ${kind.keys} `, nameOf(subject), " looks at."];
  } else if (subject?.side === kind.keys) {
    found[kind.queries] = map.lookedAtBy(subject.index, layer, head);
    found.sentence = [`Which ${kind.queries} look at `, nameOf(subject), "."];
  } else {
    const apart = subject ? `${kind.queries === "words" ? "Regions" : "Words"} take no part here. ` : "";
    found[kind.keys] = kind.queries === "words" ? map.lookedAt(0, layer, head) : map.lookedAtByAll(layer, head);
    const [who, after] = kind.queries === "words"
      ? [nameOf({ side: "words", index: 0 }), " looks at, from which the answer is read."]
      : ["the regions", " look at, in the mean."];
    found.sentence = [`${apart}Which ${kind.keys} `, who, after];
  }
  return found;
}
