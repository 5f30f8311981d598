// The same light request at a constant arrival rate, for k6.
import http from 'k6/http';

export const options = {
  discardResponseBodies: true,
  scenarios: {
    lean: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE),
      timeUnit: '1s',
      duration: `${__ENV.SECONDS}s`,
      preAllocatedVUs: Number(__ENV.VUS || 200),
      maxVUs: Number(__ENV.VUS || 200),
    },
  },
};

export default function lean() {
  http.get(`${__ENV.URL}/one.json`);
}
