// The two ways to see a camera: JPEGs in an <img>, and a running recording in a <video> by Media Source Extensions.
// Both call `seen()` for every picture that really changed on the screen.

const Source = window.ManagedMediaSource ?? window.MediaSource;
const BEHIND_S = 1.6; // further behind the newest fragment than this: jump
const KEPT_S = 20; // how much of what was shown stays in memory

/** Whether this browser can play a recording while it is made. */
export const canPlayFilm = Boolean(Source?.isTypeSupported('video/mp4; codecs="avc1.64001f"'));

const sample = document.createElement("canvas");
sample.width = 32;
sample.height = 24;
const pen = sample.getContext("2d", { willReadFrequently: true, alpha: false });

/** MJPEG: one HTTP connection for as long as it is open; a browser has six for each host. */
export class Pictures {
  #img;
  #seen;
  #before = 0;
  #next = 0;

  constructor(img, camera, seen, failed) {
    this.#img = img;
    this.#seen = seen;
    img.onerror = failed;
    img.src = `/stream/${encodeURIComponent(camera)}?t=${Date.now()}`;
    this.#next = requestAnimationFrame(this.#look);
  }

  // An <img> tells of its first picture only. A tiny copy that differs from the one before is a new picture; this also
  // notices a camera that repeats itself.
  #look = () => {
    this.#next = requestAnimationFrame(this.#look);
    if (!this.#img.naturalWidth) return;
    pen.drawImage(this.#img, 0, 0, sample.width, sample.height);
    const pixels = new Uint32Array(pen.getImageData(0, 0, sample.width, sample.height).data.buffer);
    let sum = 17;
    for (const pixel of pixels) sum = (Math.imul(sum, 31) + pixel) | 0;
    if (sum !== this.#before) this.#seen(0);
    this.#before = sum;
  };

  close() {
    cancelAnimationFrame(this.#next);
    this.#img.onerror = null;
    this.#img.removeAttribute("src"); // ends the connection
  }
}

/** H.264 as the recorder made it, through a WebSocket. `ended(reason)` is called once, whatever ends it. */
export class Film {
  #video;
  #socket;
  #source;
  #buffer = null;
  #mime = null;
  #waiting = [];
  #seen;
  #ended;
  #closed = false;

  constructor(video, camera, seen, ended) {
    this.#video = video;
    this.#seen = seen;
    this.#ended = ended;
    this.#source = new Source();
    video.disableRemotePlayback = true;
    video.src = URL.createObjectURL(this.#source);
    this.#source.addEventListener("sourceopen", () => this.#begin(), { once: true });
    video.onerror = () => this.#end("the browser cannot play it");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.#socket = new WebSocket(`${scheme}://${location.host}/video/${encodeURIComponent(camera)}`);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => this.#take(data);
    this.#socket.onclose = ({ reason }) => this.#end(reason);
    this.#watch();
  }

  #watch() {
    const video = this.#video;
    if (!video.requestVideoFrameCallback) {
      video.ontimeupdate = () => this.#seen(this.#behind());
      return;
    }
    const shown = () => {
      if (this.#closed) return;
      this.#seen(this.#behind());
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  }

  #take(data) {
    if (typeof data === "string") this.#mime = data;
    else this.#waiting.push(data);
    this.#begin();
  }

  #begin() {
    if (this.#closed || !this.#mime || this.#source.readyState !== "open") return;
    if (!this.#buffer) {
      if (!Source.isTypeSupported(this.#mime)) {
        this.#end("the browser cannot play it");
        return;
      }
      this.#buffer = this.#source.addSourceBuffer(this.#mime);
      this.#buffer.onupdateend = () => this.#added();
    }
    this.#append();
  }

  #append() {
    if (!this.#buffer || this.#buffer.updating || !this.#waiting.length) return;
    try {
      this.#buffer.appendBuffer(this.#waiting.shift());
    } catch (error) {
      if (error.name === "QuotaExceededError") this.#trim(2);
      else this.#end(String(error));
    }
  }

  #added() {
    if (this.#closed) return;
    const video = this.#video;
    const { buffered } = video;
    if (buffered.length) {
      const first = buffered.start(buffered.length - 1);
      const behind = this.#behind();
      if (video.currentTime < first || behind > BEHIND_S) {
        video.currentTime = Math.max(first, buffered.end(buffered.length - 1) - 0.25);
      }
      // A little faster while it lags: no jump for what a second's hiccup left behind.
      video.playbackRate = behind > 0.7 ? 1.08 : 1;
      if (video.paused) video.play().catch(() => {});
      if (!this.#waiting.length) this.#trim(KEPT_S);
    }
    this.#append();
  }

  #trim(kept_s) {
    const { buffered, currentTime } = this.#video;
    if (buffered.length && currentTime - buffered.start(0) > kept_s * 1.5 && !this.#buffer.updating) {
      this.#buffer.remove(buffered.start(0), currentTime - kept_s);
    }
  }

  #behind() {
    const { buffered, currentTime } = this.#video;
    return buffered.length ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : 0;
  }

  #end(reason) {
    if (this.#closed) return;
    this.close();
    this.#ended(reason);
  }

  /** Stop listening. The last picture stays on the screen until the video is given something else. */
  close() {
    this.#closed = true;
    this.#video.onerror = this.#video.ontimeupdate = null;
    this.#socket.onclose = this.#socket.onmessage = null;
    this.#socket.close();
    this.#waiting = [];
    this.#video.pause();
  }

  /** Give the memory back and show nothing. */
  static clear(video) {
    if (!video.src) return;
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  }
}
