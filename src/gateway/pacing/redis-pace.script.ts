import { RATE_RULES } from './adaptive-rate.js';
import { CIRCUIT_RULES } from './circuit.js';
import { PACE_RULES } from './pace.js';
import { BURST_S } from './token-bucket.js';

/** An account that nobody calls is forgotten after this. */
const KEEP_MS = 3_600_000;

/**
 * `exchange()` of pace.ts, line by line, on a hash in Redis. Atomic, by the clock of Redis, numbers in full precision.
 *
 * KEYS[1] the account. ARGV: process, held, wanted, horizonMs, holdMs, perSecond, concurrency, outcomes, now (empty: the clock of
 * Redis; tests give another).
 */
export const PACE_SCRIPT = `
local key = KEYS[1]
local process, held, wanted = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local horizonMs, holdMs = tonumber(ARGV[4]), tonumber(ARGV[5])
local ceiling, concurrency = tonumber(ARGV[6]), tonumber(ARGV[7])
local now = tonumber(ARGV[9])
if now == nil then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
end

local s, holders = {}, {}
local stored = redis.call('HGETALL', key)
for i = 1, #stored, 2 do
  local holder = string.match(stored[i], '^h:(.+)$')
  if holder then
    local count, untilMs = string.match(stored[i + 1], '^(.-)/(.+)$')
    holders[holder] = { tonumber(count), tonumber(untilMs) }
  else
    s[stored[i]] = tonumber(stored[i + 1])
  end
end
local function get(name) return s[name] or 0 end

-- A clock that was set back.
if get('nextAt') - now > ${PACE_RULES.MAX_AHEAD_MS} then s.nextAt = now end
if math.max(get('pausedUntil'), get('rateFrom'), get('loweredAt')) - now > ${RATE_RULES.MAX_PAUSE_MS} then
  s.rateFrom, s.pausedUntil, s.loweredAt, s.pauses = now, 0, 0, 0
end
if get('openUntil') - now > ${CIRCUIT_RULES.MAX_OPEN_MS} then
  s.openUntil, s.probeUntil = now, 0
elseif get('failingSince') > now then
  s.failingSince = now
end

local function currentRate()
  if get('rate') == 0 then return ceiling end
  return math.min(ceiling, get('rate') + ceiling * ${RATE_RULES.RECOVERY_PER_S} * math.max(0, now - get('rateFrom')) / 1000)
end
local function close()
  s.failures, s.failingSince, s.openUntil, s.opens, s.probeUntil = 0, 0, 0, 0, 0
end
local function open()
  s.opens = get('opens') + 1
  s.openUntil = now + math.min(${CIRCUIT_RULES.MAX_OPEN_MS}, ${CIRCUIT_RULES.FIRST_OPEN_MS} * 2 ^ (s.opens - 1))
  s.failures, s.failingSince, s.probeUntil = 0, 0, 0
end
local function answered(probe)
  if get('openUntil') == 0 or probe then close() end
end
local function failed(probe)
  if get('openUntil') ~= 0 then
    if probe then open() end
    return
  end
  if get('failures') > 0 and now - get('failingSince') < ${CIRCUIT_RULES.WINDOW_MS} then
    s.failures = s.failures + 1
  else
    s.failures, s.failingSince = 1, now
  end
  if s.failures >= ${CIRCUIT_RULES.FAILURES} then open() end
end
local function limited(retryAfterMs, askedAt)
  if askedAt < get('loweredAt') then return end
  if now - get('loweredAt') < ${RATE_RULES.EPISODE_MS} then s.pauses = get('pauses') + 1 else s.pauses = 1 end
  local pauseMs = math.min(retryAfterMs, ${RATE_RULES.FIRST_PAUSE_MS} * 2 ^ (s.pauses - 1), ${RATE_RULES.MAX_PAUSE_MS})
  s.rate = math.max(ceiling * ${RATE_RULES.FLOOR}, currentRate() * ${RATE_RULES.DECREASE})
  s.rateFrom, s.pausedUntil, s.loweredAt = now + pauseMs, now + pauseMs, now
end
for outcome in string.gmatch(ARGV[8], '[^;]+') do
  local kind, mark, retryAfterMs, askedAt = string.match(outcome, '^(%a)(%p?)([^,]*),?(.*)$')
  local probe = mark == '!'
  if kind == 'a' then answered(probe)
  elseif kind == 'f' then failed(probe)
  elseif kind == 'u' then s.probeUntil = 0
  elseif kind == 'l' then
    answered(probe)
    limited(tonumber(retryAfterMs), tonumber(askedAt))
  end
end

local inFlight = held
for holder, hold in pairs(holders) do
  if hold[2] <= now or hold[2] - now > holdMs + ${PACE_RULES.MAX_AHEAD_MS} then
    redis.call('HDEL', key, 'h:' .. holder)
  elseif holder ~= process then
    inFlight = inFlight + hold[1]
  end
end

local perSecond = currentRate()
local granted, firstAt, spacing, probe, refusal, retryAfter = 0, now, 0, 0, '', 0
local function grant()
  local probing = false
  if get('openUntil') ~= 0 then
    if now < s.openUntil then refusal, retryAfter = 'open', s.openUntil - now; return end
    if now < get('probeUntil') then refusal, retryAfter = 'open', ${CIRCUIT_RULES.PROBE_WAIT_MS}; return end
    probing = true
  end
  if get('pausedUntil') > now then refusal, retryAfter = 'paused', s.pausedUntil - now; return end
  local atOnce = concurrency
  if get('failures') >= ${CIRCUIT_RULES.CAUTIOUS_FROM} and now - get('failingSince') < ${CIRCUIT_RULES.WINDOW_MS} then
    atOnce = math.min(atOnce, ${CIRCUIT_RULES.FAILURES} - s.failures)
  end
  local permits = atOnce - inFlight
  if permits <= 0 then refusal, retryAfter = 'full', ${PACE_RULES.FULL_RETRY_MS}; return end
  local want = math.min(wanted, permits)
  if probing then want = math.min(want, 1) end
  spacing = 1000 / perSecond
  local fullAt = math.max(get('nextAt'), now)
  firstAt = fullAt - (math.max(1, math.floor(perSecond * ${BURST_S} + 0.5)) - 1) * spacing
  granted = math.max(0, math.min(want, math.floor((now + horizonMs - firstAt) / spacing) + 1))
  if granted > 0 then
    s.nextAt = fullAt + granted * spacing
    if probing then
      probe = 1
      s.probeUntil = now + holdMs
    end
  end
  if granted < want then
    refusal, retryAfter = 'busy', math.max(1, firstAt + granted * spacing - now - horizonMs)
  elseif want < wanted then
    if probing then refusal, retryAfter = 'open', ${CIRCUIT_RULES.PROBE_WAIT_MS}
    else refusal, retryAfter = 'full', ${PACE_RULES.FULL_RETRY_MS} end
  end
end
if wanted > 0 then grant() end

local function exact(number) return string.format('%.17g', number) end
if held + granted > 0 then
  redis.call('HSET', key, 'h:' .. process, exact(held + granted) .. '/' .. exact(now + holdMs))
else
  redis.call('HDEL', key, 'h:' .. process)
end
local fields = {}
for name, value in pairs(s) do
  fields[#fields + 1] = name
  fields[#fields + 1] = exact(value)
end
if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
redis.call('PEXPIRE', key, ${KEEP_MS})
return { tostring(granted), exact(firstAt), exact(spacing), tostring(probe), refusal, exact(retryAfter), exact(now), exact(perSecond), tostring(inFlight + granted) }
`;
