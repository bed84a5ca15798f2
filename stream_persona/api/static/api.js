// Requests to the API; an answer that is no success is thrown with the server's own sentence.

const PATIENCE_MS = 10_000;

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: no answer at all
  }
}

/** Request JSON; throws `ApiError`. */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch {
    throw new ApiError(0, "the server does not answer");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok)
    throw new ApiError(response.status, body.message ?? `the server answered ${response.status}`);
  return body;
}

export function send(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

/** Request JSON; null where the server answers 404. */
export const askOrNull = (path) =>
  ask(path).catch((error) => (error.status === 404 ? null : Promise.reject(error)));

/** The id is a parameter, since a path could not hold `..` or what ends like another path. */
export const customerPath = (id, end = "") =>
  `/v1/customers${end}?customer_id=${encodeURIComponent(id)}`;
