// A shopper's persona, with nothing but Node.js 18 or newer: node lookup.mjs CUST-04812
// It prints the persona with its confidence, or "baseline: ..." where there is none to rank by; a
// second argument is the time-out in milliseconds. A service imports `lookup` instead. (One that
// looks up many keeps its connection: use an npm client of Redis there, and `parsed`.)

import net from "node:net";
import tls from "node:tls";
import { pathToFileURL } from "node:url";

const url = new URL(process.env.STREAM_PERSONA_REDIS_URL || "redis://localhost:6379/0");
const prefix = process.env.STREAM_PERSONA_PREFIX ?? "";

/** Looks up a customer; `persona` null means: rank as you would without it. */
export async function lookup(customerId, milliseconds = 50) {
  try {
    return parsed(await get(`${prefix}persona:${customerId}`, milliseconds));
  } catch {
    return { persona: null, fallback: "unreachable" };
  }
}

/** Parses a public record, as Redis gave it. */
export function parsed(record) {
  if (record === null) return { persona: null, fallback: "unknown" };
  try {
    const { persona, confidence, distribution } = JSON.parse(record);
    if (persona === undefined) return { persona: null, fallback: "unreadable" };
    return { persona, confidence, distribution, fallback: persona ? null : "ambiguous" };
  } catch {
    return { persona: null, fallback: "unreadable" };
  }
}

/** Reads the value of a key, null where there is none; rejects after the time-out. */
function get(key, milliseconds) {
  const commands = [["GET", key]];
  const database = url.pathname.slice(1);
  if (database) commands.unshift(["SELECT", database]);
  const [user, password] = [url.username || "default", url.password].map(decodeURIComponent);
  if (password) commands.unshift(["AUTH", user, password]);
  return new Promise((resolve, reject) => {
    const socket = (url.protocol === "rediss:" ? tls : net).connect({
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: Number(url.port || 6379),
    });
    const timer = setTimeout(() => socket.destroy(new Error("too late")), milliseconds);
    let received = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes]);
      try {
        const found = replies(received);
        if (found.length < commands.length) return;
        resolve(found.at(-1));
        socket.destroy();
      } catch (error) {
        socket.destroy(error);
      }
    });
    socket.on("error", reject);
    socket.on("close", () => {
      clearTimeout(timer);
      reject(new Error("closed")); // of no effect once it is resolved
    });
    socket.write(commands.map(command).join(""));
  });
}

function command(words) {
  const sized = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${sized.join("")}`;
}

/** Parses the replies that are complete: texts, or null. */
function replies(buffer) {
  const found = [];
  let at = 0;
  while (at < buffer.length) {
    const end = buffer.indexOf("\r\n", at);
    if (end < 0) break;
    const kind = String.fromCharCode(buffer[at]);
    const rest = buffer.toString("utf8", at + 1, end);
    at = end + 2;
    if (kind === "-") throw new Error(rest);
    const size = kind === "$" ? Number(rest) : -1;
    if (size >= 0) {
      if (buffer.length < at + size + 2) break;
      found.push(buffer.toString("utf8", at, at + size));
      at += size + 2;
    } else {
      found.push(kind === "$" ? null : rest);
    }
  }
  return found;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [customerId, milliseconds] = process.argv.slice(2);
  if (!customerId) {
    console.error("usage: node lookup.mjs CUSTOMER_ID [MILLISECONDS]");
    process.exit(2);
  }
  const { persona, confidence, fallback } = await lookup(customerId, Number(milliseconds ?? 50));
  console.log(persona ? `${persona} ${confidence}` : `baseline: ${fallback}`);
}
