// The figures of one customer at one version, and where they come from.

export interface Version {
  /** As text: the epoch is a 64-bit integer, of which a JavaScript number keeps 53 bits. */
  refold: string;
  revision: number;
}

export interface UnitCount {
  unit_number: string;
  repair_count: number;
}

export interface MonthCount {
  date: string;
  count: number;
}

export interface StatusCount {
  status: string;
  count: number;
}

export interface RepairFigures {
  completed_this_month: { month: string; count: number; month_before: string; count_before: number };
  units_repaired_again: { year: number; at_least: number; count: number };
}

/** What the page shows of a repair that changed lately. */
export interface Change {
  repair_id: string;
  unit_number: string;
  status: string;
  damage_type: string;
  description: string;
  changed_at: string;
}

export interface Parts {
  units: UnitCount[];
  months: MonthCount[];
  statuses: StatusCount[];
  figures: RepairFigures;
  latest: { repairs: Change[] };
}

export type Part = keyof Parts;

/** All parts of one version; what could not be had is not in `parts` but in `failed`. */
export interface Snapshot {
  parts: Partial<Parts>;
  failed: Partial<Record<Part, FailedAnswer>>;
  version: Version;
  asOf: Date | null;
  lag: number | null;
  /** The server's clock at its last answer; null when nothing had to be asked. */
  sentAt: Date | null;
}

export type Held = Pick<Snapshot, "parts" | "version">;

/** An answer that is no figures: its status (0: none came) and the id that we can look for. */
export class FailedAnswer extends Error {
  readonly status: number;
  readonly requestId: string | null;

  constructor(status: number, requestId: string | null) {
    super(`answered ${status}`);
    this.status = status;
    this.requestId = requestId;
  }
}

/** The visitor is no longer signed in: the gateway leads to the sign-in page. */
export class SignedOut extends Error {}

/** Somebody of another customer has signed in with this browser since the page was opened. */
export class OtherCustomer extends Error {}

export const PATHS: Record<Part, string> = {
  units: "/customer/api/unit-repair-data/",
  months: "/customer/api/repair-cost-data/",
  statuses: "/customer/api/repair-status-data/",
  figures: "/customer/api/figures/",
  latest: "/customer/api/repairs/?sort=-changed_at&limit=8",
};
const ALL = Object.keys(PATHS) as Part[];
const ROUNDS = 4;
const TIMEOUT_MS = 10_000;
const AGAIN_MS = 400;

interface Answer {
  value: unknown;
  version: Version;
  asOf: Date | null;
  lag: number | null;
  sentAt: Date | null;
}

export function isNewer(one: Version, other: Version): boolean {
  const by = BigInt(one.refold) - BigInt(other.refold);
  return by > 0n || (by === 0n && one.revision > other.revision);
}

export function isSame(one: Version, other: Version): boolean {
  return BigInt(one.refold) === BigInt(other.refold) && one.revision === other.revision;
}

/**
 * Ask until all parts are of one version, which is not older than `seen`.
 * What is held already spares its request for as long as its version still holds.
 * Throws FailedAnswer when nothing could be had, SignedOut, or OtherCustomer.
 */
export async function loadSnapshot(seen: Version, held: Held, customer: string): Promise<Snapshot> {
  const got = new Map<Part, Answer>();
  const failed: Snapshot["failed"] = {};
  let least = seen;
  for (const part of ALL) {
    const value = held.parts[part];
    if (value !== undefined) got.set(part, { value, version: held.version, asOf: null, lag: null, sentAt: null });
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    const wanted = ALL.filter((part) => !failed[part] && !isAt(got.get(part), least));
    if (wanted.length === 0) break;
    const at = least;
    await Promise.all(
      wanted.map(async (part) => {
        try {
          const answer = await ask(PATHS[part], at, customer);
          got.set(part, answer);
          if (isNewer(answer.version, least)) least = answer.version;
        } catch (error) {
          if (!(error instanceof FailedAnswer)) throw error;
          failed[part] = error;
          got.delete(part);
        }
      }),
    );
    const first = Object.values(failed)[0];
    if (first && wanted.every((part) => failed[part])) throw first;
  }
  const current = [...got].filter(([, answer]) => isAt(answer, least));
  // They change faster than we can ask so often: the next hint of a change asks again.
  if (current.length + Object.keys(failed).length < ALL.length) throw new FailedAnswer(503, null);
  const asked = current.map(([, answer]) => answer).filter((answer) => answer.asOf !== null);
  return {
    parts: Object.fromEntries(current.map(([part, answer]) => [part, answer.value])),
    failed,
    version: least,
    // The time until which one part of a version is complete holds for all of it.
    asOf: latest(asked.map(({ asOf }) => asOf)),
    lag: asked.reduce<number | null>((best, { lag }) => (best === null ? lag : Math.min(best, lag ?? best)), null),
    sentAt: latest(current.map(([, answer]) => answer.sentAt)),
  };
}

function latest(times: (Date | null)[]): Date | null {
  return times.reduce((best, time) => (best === null || (time !== null && time > best) ? time : best), null);
}

function isAt(answer: Answer | undefined, version: Version): boolean {
  return answer !== undefined && isSame(answer.version, version);
}

async function ask(path: string, least: Version, customer: string): Promise<Answer> {
  try {
    return await askOnce(path, least, customer);
  } catch (error) {
    if (!(error instanceof FailedAnswer) || error.status === 0) throw error;
    await new Promise((done) => setTimeout(done, AGAIN_MS));
    return askOnce(path, least, customer);
  }
}

async function askOnce(path: string, least: Version, customer: string): Promise<Answer> {
  const headers = {
    Accept: "application/json",
    // Asked by the page, not by a person: it does not keep a session from ending.
    "X-Background": "1",
    "Portal-Min-Revision": String(least.revision),
    "Portal-Refold": least.refold,
  };
  const answer = await reached(path, headers);
  if (answer.type === "opaqueredirect") throw new SignedOut();
  if (!answer.ok) throw new FailedAnswer(answer.status, answer.headers.get("X-Request-Id"));
  if (customerOf(answer) !== customer) throw new OtherCustomer();
  return {
    value: await answer.json().catch(() => Promise.reject(new FailedAnswer(0, null))),
    version: versionOf(answer),
    asOf: timeOf(answer.headers.get("Portal-As-Of")),
    lag: numberOf(answer.headers.get("Portal-Lag")),
    sentAt: timeOf(answer.headers.get("Date")),
  };
}

/** Kept by the browser under its tag, an answer that still holds costs no body. */
async function reached(path: string, headers: Record<string, string>): Promise<Response> {
  try {
    return await fetch(path, { headers, redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new FailedAnswer(0, null);
  }
}

export function versionOf(answer: Response): Version {
  return {
    refold: answer.headers.get("Portal-Refold") ?? "0",
    revision: Number(answer.headers.get("Portal-Revision")),
  };
}

/** A tag begins with whose figures it names. */
export function customerOf(answer: Response): string | undefined {
  return answer.headers.get("ETag")?.replace(/^(W\/)?"/, "").split(".")[0];
}

export function timeOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

function numberOf(text: string | null): number | null {
  return text === null ? null : Number(text);
}
