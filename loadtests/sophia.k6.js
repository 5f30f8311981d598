// The same journeys for k6 (https://k6.io): chat, memory write and read, search, at a constant arrival rate.
//
//   k6 run -e URL=http://127.0.0.1:8080 -e RATE=40 -e DURATION=30s loadtests/sophia.k6.js
//
// An independent second opinion on a platform: the harness neither runs nor reads it. The mix is that of
// scenarios/certify-quick.yaml without its few deletes; `maxVUs` is high enough that a stalled platform does not turn the load into a closed one.
import http from 'k6/http';
import { check } from 'k6';
import exec from 'k6/execution';

const url = __ENV.URL || 'http://127.0.0.1:8080';
const json = { headers: { 'Content-Type': 'application/json' } };
const mix = [['chat', 40], ['memoryWrite', 15], ['memoryRead', 20], ['search', 25]];
const seeded = 8;

export const options = {
  scenarios: {
    users: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 40),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: 50,
      maxVUs: 1000,
    },
  },
  thresholds: {
    checks: ['rate>0.99'],
    http_req_failed: ['rate<0.01'],
    http_req_duration: ['p(95)<150', 'p(99)<300'],
    dropped_iterations: ['count==0'],
  },
};

const textOf = (key) => `memory ${key}`;
const pick = (below) => Math.floor(Math.random() * below);

function write(key) {
  return http.post(`${url}/api/memory`, JSON.stringify({ key, text: textOf(key) }), { ...json, tags: { name: 'memory-write' } });
}

const journeys = {
  chat({ known }) {
    const [a, b] = [pick(1000), pick(1000)];
    const asked = known.length && pick(2) ? known[pick(known.length)] : { question: `What is ${a} plus ${b}?`, answer: `${a + b}` };
    const response = http.post(`${url}/api/chat`, JSON.stringify({ question: asked.question }), { ...json, tags: { name: 'chat' } });
    check(response, { 'chat is right': (r) => r.status === 200 && r.json('answer') === asked.answer });
  },
  memoryWrite({ run }) {
    const response = write(`${run}-m${exec.scenario.iterationInTest}`);
    check(response, { 'memory is kept': (r) => r.status === 201 || r.status === 200 });
  },
  memoryRead({ run }) {
    const key = `${run}-seed-${pick(seeded)}`;
    const response = http.get(`${url}/api/memory/${key}`, { tags: { name: 'memory-read' } });
    check(response, { 'memory is what was written': (r) => r.status === 200 && r.json('text') === textOf(key) });
  },
  search() {
    const number = pick(300);
    const first = number - (number % 3);
    const response = http.post(`${url}/api/search`, JSON.stringify({ vector_of: `doc-${number}` }), { ...json, tags: { name: 'search' } });
    const expected = [0, 1, 2].map((step) => `doc-${first + step}`).sort().join();
    const found = (r) => (r.json('hits') || []).slice(0, 3).map((hit) => hit.id).sort().join();
    check(response, { 'neighbours are right': (r) => r.status === 200 && found(r) === expected });
  },
};

// Runs once, before all: each virtual user has its own copy of the script, so a name for the run must come from here.
export function setup() {
  const run = `k6-${Date.now()}`;
  for (let number = 0; number < seeded; number += 1) {
    if (write(`${run}-seed-${number}`).status >= 300) exec.test.abort('no memory could be written');
  }
  return { run, known: http.get(`${url}/api/knowledge`).json('questions') || [] };
}

export default function users(given) {
  let turn = Math.random() * mix.reduce((sum, [, weight]) => sum + weight, 0);
  const [name] = mix.find(([, weight]) => (turn -= weight) < 0);
  journeys[name](given);
}
