// When to ask again: at once when the stream tells of a newer version, else every half minute.

import type { Version } from "./figures.ts";

const EVENTS = "/customer/api/events/";
const POLL_SECONDS = 30;

export interface Listener {
  newer(version: Version): void;
  poll(): void;
  live(live: boolean): void;
}

/** Follow the customer's revisions while the page can be seen. */
export function follow(listener: Listener): void {
  let stream: EventSource | null = null;
  let timer = 0;

  const open = () => {
    if (stream !== null) return;
    stream = new EventSource(EVENTS);
    stream.addEventListener("open", () => listener.live(true));
    stream.addEventListener("error", () => listener.live(false));
    stream.addEventListener("revision", (event) => {
      listener.newer(JSON.parse((event as MessageEvent<string>).data) as Version);
    });
    timer = window.setInterval(() => listener.poll(), POLL_SECONDS * 1000);
  };

  const close = () => {
    stream?.close();
    stream = null;
    window.clearInterval(timer);
    listener.live(false);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
    } else {
      open();
      listener.poll();
    }
  });
  window.addEventListener("online", () => listener.poll());
  window.addEventListener("pagehide", close);
  if (!document.hidden) open();
}
