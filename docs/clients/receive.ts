// Receives the callbacks of s3import. Needs nothing but Node.

import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE_SECONDS = 300;

interface MigrationEvent {
  type: string;
  timestamp: string;
  data: { account_id: string; pass: string; state: string; rejects: { total: number } };
}

/** Whether s3import sent this callback, as Standard Webhooks describes. `headers` have names in lower case. */
export function isGenuine(secret: string, body: string, headers: Record<string, string>): boolean {
  const { "webhook-id": id = "", "webhook-timestamp": sentAt = "", "webhook-signature": signatures = "" } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(sentAt)) <= TOLERANCE_SECONDS)) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${sentAt}.${body}`).digest();
  return signatures.split(" ").some((signature) => {
    const given = Buffer.from(signature.replace(/^v1,/, ""), "base64");
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

// Keep these ids in your database, in the transaction that handles the event.
const seen = new Set<string>();

/** The HTTP status to answer a callback with. */
export function receive(secret: string, body: string, headers: Record<string, string>): number {
  if (!isGenuine(secret, body, headers)) return 400;
  const id = headers["webhook-id"] ?? "";
  if (!seen.has(id)) {
    const event = JSON.parse(body) as MigrationEvent;
    console.log(event.type, event.data.account_id, event.data.pass);
    seen.add(id);
  }
  return 204;
}
