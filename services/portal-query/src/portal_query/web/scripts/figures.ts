// The figures of one customer at one version, and where they come from.

export interface Version {
  refold: number;
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

export interface Answer<Row> {
  rows: Row[];
  version: Version;
  asOf: Date | null;
  lag: number | null;
}

export interface Figures {
  units: UnitCount[];
  months: MonthCount[];
  statuses: StatusCount[];
  version: Version;
  asOf: Date | null;
  lag: number | null;
}

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

const UNITS = "/customer/api/unit-repair-data/";
const MONTHS = "/customer/api/repair-cost-data/";
const STATUSES = "/customer/api/repair-status-data/";
const ROUNDS = 4;

export function isNewer(one: Version, other: Version): boolean {
  return one.refold > other.refold || (one.refold === other.refold && one.revision > other.revision);
}

export function isSame(one: Version, other: Version): boolean {
  return one.refold === other.refold && one.revision === other.revision;
}

/**
 * Ask for the three lists until all are of one version, which is not older than `seen`.
 * `statuses` are those that the page holds already: they spare a request when they still hold.
 * Throws FailedAnswer, or SignedOut.
 */
export async function loadFigures(
  seen: Version,
  statuses: StatusCount[] | null,
  signal: AbortSignal,
): Promise<Figures> {
  let least = seen;
  const held = statuses && { rows: statuses, version: seen };
  for (let round = 0; round < ROUNDS; round += 1) {
    const [units, months, counts] = await Promise.all([
      ask<UnitCount>(UNITS, least, signal),
      ask<MonthCount>(MONTHS, least, signal),
      held && isSame(held.version, least) ? held : ask<StatusCount>(STATUSES, least, signal),
    ]);
    least = newest(units.version, months.version, counts.version);
    if ([units, months, counts].every((answer) => isSame(answer.version, least))) {
      return {
        units: units.rows,
        months: months.rows,
        statuses: counts.rows,
        version: least,
        asOf: earlier(units.asOf, months.asOf),
        lag: units.lag === null || months.lag === null ? null : Math.max(units.lag, months.lag),
      };
    }
  }
  // They change faster than we can ask three times: the next hint of a change asks again.
  throw new FailedAnswer(503, null);
}

async function ask<Row>(path: string, least: Version, signal: AbortSignal): Promise<Answer<Row>> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      headers: {
        Accept: "application/json",
        "Portal-Min-Revision": String(least.revision),
        "Portal-Refold": String(least.refold),
      },
      redirect: "manual",
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new FailedAnswer(0, null);
  }
  if (answer.type === "opaqueredirect") throw new SignedOut();
  if (!answer.ok) throw new FailedAnswer(answer.status, answer.headers.get("X-Request-Id"));
  return {
    rows: (await answer.json()) as Row[],
    version: {
      refold: Number(answer.headers.get("Portal-Refold")),
      revision: Number(answer.headers.get("Portal-Revision")),
    },
    asOf: timeOf(answer.headers.get("Portal-As-Of")),
    lag: numberOf(answer.headers.get("Portal-Lag")),
  };
}

function newest(...versions: Version[]): Version {
  return versions.reduce((best, one) => (isNewer(one, best) ? one : best));
}

function earlier(one: Date | null, other: Date | null): Date | null {
  if (one === null || other === null) return null;
  return one < other ? one : other;
}

export function timeOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

function numberOf(text: string | null): number | null {
  return text === null ? null : Number(text);
}
