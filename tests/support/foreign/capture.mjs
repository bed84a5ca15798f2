// Captures what vendors' Node libraries send of the journey: rewrites captured/*-node.json.
//
//   npm install @segment/analytics-node@3.1.0 @rudderstack/rudder-sdk-node@3.0.13   (anywhere)
//   python -m tests.support.foreign.segment_calls > calls.json
//   node .../tests/support/foreign/capture.mjs calls.json                           (from there)
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/`);
const { journey, calls } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const user = { userId: journey.user_id, anonymousId: journey.anonymous_id };
const first = new Date(journey.steps[0].at);

async function capture(file, library, send) {
  const bodies = [];
  const server = createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      bodies.push(JSON.parse(Buffer.concat(parts).toString()));
      response.end("{}");
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  await send(`http://127.0.0.1:${server.address().port}`);
  const { version } = JSON.parse(readFileSync(`node_modules/${library}/package.json`, "utf8"));
  const content = { made_by: `${library} ${version}`, bodies };
  const target = new URL(`captured/${file}.json`, import.meta.url);
  writeFileSync(target, `${JSON.stringify(content, null, 1)}\n`);
  server.close();
}

function call(client) {
  client.identify({ ...user, traits: { plan: "free" }, timestamp: first });
  client.alias({ previousId: user.anonymousId, userId: user.userId, timestamp: first });
  client.page({ ...user, name: "Home", timestamp: first });
  for (const [event, properties, at] of calls)
    client.track({ ...user, event, properties, timestamp: new Date(at) });
}

await capture("segment-node", "@segment/analytics-node", async (host) => {
  const { Analytics } = require("@segment/analytics-node");
  const client = new Analytics({ writeKey: "write-key", host, flushAt: 100 });
  call(client);
  await client.closeAndFlush();
});
await capture("rudderstack-node", "@rudderstack/rudder-sdk-node", async (host) => {
  const Client = require("@rudderstack/rudder-sdk-node");
  const client = new (Client.default ?? Client)("write-key", {
    dataPlaneUrl: host, flushAt: 100, gzip: false,
  });
  call(client);
  await client.flush();
});
process.exit(0);
