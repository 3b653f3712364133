"use strict";
/* Uploads of the import wizard and of replays by the tus protocol: in pieces, resumed where they broke off, verified by their SHA-256. */
(() => {
  const PIECE = 8 << 20;
  const ATTEMPTS = 8;

  // SHA-256 piece by piece: that of browsers takes whole files only, and only on secure addresses.
  const K = [];
  const START = [];
  const fraction = (value) => ((value - Math.floor(value)) * 0x100000000) | 0;
  for (let number = 2; K.length < 64; number++) {
    let prime = true;
    for (let factor = 2; factor * factor <= number; factor++) if (number % factor === 0) prime = false;
    if (!prime) continue;
    if (START.length < 8) START.push(fraction(Math.sqrt(number)));
    K.push(fraction(Math.cbrt(number)));
  }
  class Sha256 {
    constructor() {
      this.state = START.slice();
      this.block = new Uint8Array(64);
      this.used = 0;
      this.length = 0;
      this.words = new Int32Array(64);
    }
    update(data) {
      this.length += data.length;
      let at = 0;
      if (this.used) {
        const rest = Math.min(64 - this.used, data.length);
        this.block.set(data.subarray(0, rest), this.used);
        this.used += rest;
        at = rest;
        if (this.used < 64) return;
        this.mix(this.block, 0);
        this.used = 0;
      }
      for (; at + 64 <= data.length; at += 64) this.mix(data, at);
      this.block.set(data.subarray(at));
      this.used = data.length - at;
    }
    mix(data, at) {
      const w = this.words;
      for (let i = 0; i < 16; i++, at += 4) w[i] = (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3];
      for (let i = 16; i < 64; i++) {
        const x = w[i - 15], y = w[i - 2];
        w[i] = (w[i - 16] + w[i - 7] + (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) + (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10))) | 0;
      }
      let [a, b, c, d, e, f, g, h] = this.state;
      for (let i = 0; i < 64; i++) {
        const t = (h + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
        const u = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g; g = f; f = e; e = (d + t) | 0; d = c; c = b; b = a; a = (t + u) | 0;
      }
      [a, b, c, d, e, f, g, h].forEach((value, index) => { this.state[index] = (this.state[index] + value) | 0; });
    }
    hex() {
      const bits = this.length * 8;
      const rest = new Uint8Array(((this.used + 9 + 63) >> 6) * 64 - this.used);
      rest[0] = 0x80;
      const view = new DataView(rest.buffer);
      view.setUint32(rest.length - 8, Math.floor(bits / 0x100000000));
      view.setUint32(rest.length - 4, bits >>> 0);
      this.update(rest);
      return this.state.map((value) => (value >>> 0).toString(16).padStart(8, "0")).join("");
    }
  }

  const bytes = async (file, start, end) => new Uint8Array(await file.slice(start, end).arrayBuffer());
  const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const pause = (millis) => new Promise((done) => setTimeout(done, millis));

  const reason = async (answer) => {
    const text = await answer.text();
    try { return JSON.parse(text).message || text; } catch { return text || `HTTP ${answer.status}`; }
  };

  const send = async (file, drop, show) => {
    const hash = new Sha256();
    for (let at = 0; at < file.size; at += PIECE) {
      hash.update(await bytes(file, at, at + PIECE));
      show("reading", Math.min(1, (at + PIECE) / file.size));
    }
    const common = { "x-csrf": drop.dataset.csrf, "tus-resumable": "1.0.0" };
    const where = `?clusterId=${encodeURIComponent(drop.dataset.cluster)}`;
    const made = await fetch(`/uploads${where}`, {
      method: "POST",
      headers: { ...common, "upload-length": String(file.size), "upload-metadata": `filename ${base64(file.name)},sha256 ${base64(hash.hex())}` },
    });
    if (!made.ok) throw new Error(await reason(made));
    const { uploadId, path, offset: begun, complete } = (await made.json()).data;
    let offset = begun, failures = 0;
    while (!complete && offset < file.size) {
      try {
        const answer = await fetch(`/uploads/${uploadId}${where}`, {
          method: "PATCH",
          headers: { ...common, "content-type": "application/offset+octet-stream", "upload-offset": String(offset) },
          body: file.slice(offset, offset + PIECE),
        });
        if (answer.ok) { offset = Number(answer.headers.get("upload-offset")); failures = 0; show("uploading", offset / file.size); continue; }
        if (answer.status < 500 && answer.status !== 409 && answer.status !== 429) throw Object.assign(new Error(await reason(answer)), { final: true });
      } catch (error) {
        if (error.final) throw error;
      }
      if (++failures > ATTEMPTS) throw new Error("the server can't be reached; choose the file again to go on where it broke off");
      show("waiting for the server", offset / file.size);
      await pause(Math.min(15000, 500 * 2 ** failures));
      const now = await fetch(`/uploads/${uploadId}${where}`, { method: "HEAD", headers: common }).catch(() => null);
      if (now && now.ok) offset = Number(now.headers.get("upload-offset"));
    }
    return path;
  };

  let uploading = 0;
  const add = async (files) => {
    const drop = document.getElementById("drop");
    uploading += files.length;
    for (const file of files) {
      const row = document.createElement("li");
      const name = Object.assign(document.createElement("span"), { className: "clipped", textContent: file.name });
      const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
      bar.setAttribute("aria-label", `Upload of ${file.name}`);
      row.setAttribute("aria-busy", "true");  // its end is spoken, not each percent
      row.append(name, bar);
      document.getElementById("uploads").append(row);
      try {
        const path = await send(file, drop, (step, share) => { bar.value = share; name.textContent = `${file.name} · ${step} ${Math.round(100 * share)} %`; });
        bar.value = 1;
        bar.className = "kind-completed";
        name.textContent = `${file.name} · uploaded`;
        const box = document.getElementById("paths");
        box.value = [...box.value.split("\n").filter((line) => line.trim() && line.trim() !== path), path].join("\n");
      } catch (error) {
        bar.className = "kind-failed";
        name.textContent = `${file.name} · ${error.message}`;
      }
      uploading--;
      row.removeAttribute("aria-busy");
    }
  };

  // What is still on its way would be missing in the import.
  document.addEventListener("submit", (event) => {
    const waits = uploading && event.target.contains(document.getElementById("uploads"));
    const note = document.getElementById("uploads-wait");
    if (note) note.hidden = !waits;
    if (!waits) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  addEventListener("beforeunload", (event) => { if (uploading) event.preventDefault(); });

  const prepare = () => { const drop = document.getElementById("drop"); if (drop) drop.hidden = false; };
  document.addEventListener("DOMContentLoaded", prepare);
  document.addEventListener("htmx:afterSettle", prepare);
  document.addEventListener("dialog:filled", prepare);
  document.addEventListener("change", (event) => {
    if (event.target.id !== "upload") return;
    add([...event.target.files]);
    event.target.value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      const drop = event.target.closest?.("#drop");
      if (!drop) return;
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") add([...event.dataTransfer.files]);
    });
  }
})();
