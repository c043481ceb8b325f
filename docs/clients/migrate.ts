// Moves an account over the HTTP API of s3import: `node migrate.ts ACCOUNT` (Node 22.18 or later).
//
// S3IMPORT_URL is the server (http://localhost:8080), S3IMPORT_TOKEN the token. Needs nothing but Node.

const GIVE_UP_MS = 600_000; // of a server that does not answer
const LONGEST_WAIT_MS = 30_000;

type PassName = "recent" | "remaining";

interface Run {
  run_id: string;
  state: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  rejects: { total: number; by_code: Record<string, number> };
  error: { code: string; message: string } | null;
}

interface StatusDocument {
  account_id: string;
  account_status: "migrating" | "active-recent-only" | "active";
  passes: Record<PassName, Run | null>;
}

type Asked = { run_id: string; state: string } | { ignored: string };

/** The server refuses the request. `code` is stable, the message is for people. */
class Problem extends Error {
  readonly code: string;
  constructor(document: { code: string; detail: string }) {
    super(`${document.detail} [${document.code}]`);
    this.code = document.code;
  }
}

/** A pass ended without being imported. */
class MigrationFailed extends Error {}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

class Client {
  readonly #url: string;
  readonly #token: string;
  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** The answer to a request. Waits and asks again while the server is not available: every request may be repeated. */
  async ask<Answer>(method: "GET" | "POST", path: string, body?: object): Promise<Answer> {
    const giveUp = Date.now() + GIVE_UP_MS;
    for (let wait = 500; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      let retryAfter = 0;
      try {
        const answer = await fetch(this.#url + path, {
          method,
          headers: { Authorization: `Bearer ${this.#token}`, "Content-Type": "application/json" },
          body: body === undefined ? null : JSON.stringify(body),
          signal: AbortSignal.timeout(30_000),
        });
        if (answer.ok) return (await answer.json()) as Answer;
        if (answer.status !== 503 || Date.now() > giveUp) {
          throw new Problem((await answer.json()) as { code: string; detail: string });
        }
        retryAfter = 1000 * Number(answer.headers.get("Retry-After") ?? 0);
      } catch (error) {
        if (error instanceof Problem || Date.now() > giveUp) throw error;
      }
      await sleep(Math.max(wait, retryAfter));
    }
  }
}

/** Create the account, its brands and its channels. What exists stays as it is. */
async function prepare(client: Client, accountId: string): Promise<void> {
  const account = `/accounts/${encodeURIComponent(accountId)}`;
  await client.ask("POST", "/accounts", { id: accountId, name: "Acme" });
  await client.ask("POST", `${account}/brands`, { id: "b1", name: "Shop" });
  await client.ask("POST", `${account}/channels`, { id: "c1", brand_id: "b1", kind: "email", name: "Support" });
}

/** Import a pass and wait for its end. A pass that was imported before is left alone. */
async function move(client: Client, accountId: string, pass: PassName): Promise<void> {
  const asked = await client.ask<Asked>("POST", "/migrate", { account_id: accountId, pass });
  if ("ignored" in asked) return;
  const path = `/check-migration?account_id=${encodeURIComponent(accountId)}`;
  // often at first, more seldom for what takes hours
  for (let wait = 500; ; wait = Math.min(1.5 * wait, LONGEST_WAIT_MS)) {
    const run = (await client.ask<StatusDocument>("GET", path)).passes[pass];
    if (run?.state === "succeeded") {
      console.log(`${accountId}: the ${pass} pass is imported, ${run.rejects.total} records rejected`);
      return;
    }
    if (run?.state === "failed" || run?.state === "cancelled") {
      throw new MigrationFailed(`${accountId}: ${run.error?.message} [${run.error?.code}]`);
    }
    await sleep(wait);
  }
}

async function main(accountId: string | undefined): Promise<void> {
  const { S3IMPORT_URL, S3IMPORT_TOKEN } = process.env;
  if (!accountId || !S3IMPORT_URL || !S3IMPORT_TOKEN) throw new Error("give an account, S3IMPORT_URL and S3IMPORT_TOKEN");
  const client = new Client(S3IMPORT_URL, S3IMPORT_TOKEN);
  await prepare(client, accountId);
  await move(client, accountId, "recent"); // people can work in the account from here on
  await move(client, accountId, "remaining");
}

main(process.argv[2]).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
