// What the nouns of the product are called, and what they mean in a sentence. The words are those of the reports.

import { oneIn } from "./number";

export type Stage = "act" | "review" | "watch" | "linked";
export type Family = "identity" | "network" | "template" | "continuity" | "twins" | "queue" | "schedule" | "parameters";
export type Measure = "observe" | "slow" | "budget" | "withhold" | "step-up" | "smaller-model" | "suspend";

export const families: Family[] = ["identity", "network", "template", "continuity", "twins", "queue", "schedule", "parameters"];

const familyText: Record<Family, [name: string, gloss: string]> = {
  identity: ["Sign-up data", "payment, device or registration details that the accounts share"],
  network: ["Connections", "addresses and client fingerprints that the accounts share"],
  template: ["Wording", "the same uncommon phrases, repeated by each account"],
  continuity: ["Conversations", "a conversation or an answer given to one account that another sends on"],
  twins: ["Same topics", "prompts drawn from one and the same mixture of topics"],
  queue: ["One work list", "one list of tasks dealt out among the accounts without repeats"],
  schedule: ["Timing and load", "equal loads, one taking over when another is stopped, born together"],
  parameters: ["Settings", "a rare combination of request settings that the accounts share"],
};

export function familyName(f: string): string {
  return familyText[f as Family]?.[0] ?? f;
}

export function familyGloss(f: string): string {
  return familyText[f as Family]?.[1] ?? "a kind of evidence that this version has no description of";
}

/** The independent group that a family belongs to: one mistake, or one innocent cause, can trip all of a group. */
export function keyOf(f: string): "who" | "what" | "how" {
  if (f === "identity" || f === "network") return "who";
  return f === "schedule" || f === "parameters" ? "how" : "what";
}

export const keyWords = { who: "who they are", what: "what they ask", how: "how they work" } as const;

/** Says how many independent groups of evidence agree. */
export function keySentence(evidence: { family: string; accounts: number }[]): string {
  const have = (["who", "what", "how"] as const).filter((k) => evidence.some((e) => e.accounts > 0 && keyOf(e.family) === k));
  if (have.length === 0) return "";
  if (have.length === 1) return `All of it is of one kind (${keyWords[have[0]!]}), so one mistake could explain it; enforcement needs two.`;
  return `${have.length} independent kinds agree: ${have.map((k) => keyWords[k]).join(", ")}.`;
}

export const stageAsks: Record<Stage, string> = {
  act: "safe to enforce automatically under the policy in force",
  review: "for a person to decide; nothing should be enforced unseen",
  watch: "neither yet; look again when more has been recorded",
  linked: "one operator, but not extraction; nothing to do",
};

/** What the one-operator test found, as a frequency that a reader can check against experience. */
export function operatorTest(p: number): string {
  return "accounts that act on their own would look this much alike " + often(p);
}

/** What the extraction test found. */
export function extractionTest(p: number): string {
  return "ordinary groups under one operator look this much like extraction " + often(p);
}

function often(p: number): string {
  const s = oneIn(p);
  if (p > 0.2) return s.replace(" in ", " times in ") + ": this says little";
  return s.replace(/^1 in /, "1 time in ").replace(/^2 in /, "2 times in ");
}

const measureText: Record<Measure, [name: string, gloss: string, effect: string]> = {
  observe: ["Observe", "Nothing is changed; exchanges are marked.", "would have been marked"],
  slow: ["Slow down", "A delay before the first byte, and a slower answer.", "would have been answered more slowly"],
  budget: ["Shared budget", "One budget of output tokens a day for all accounts of the campaign together.", "would have shared one budget"],
  withhold: ["Withhold", "No log probabilities, one answer a request, no reasoning text.", "would have got no log probabilities and no reasoning text"],
  "step-up": ["Ask to verify", "Refused until the account holder has verified.", "would have been refused until verified"],
  "smaller-model": ["Smaller model", "Answered by another model, which the answer names.", "would have been answered by another model"],
  suspend: ["Suspend", "Refused, with the reason and the way to appeal.", "would have been refused"],
};

export const measures = Object.keys(measureText) as Measure[];

export function measureName(m: string): string {
  return measureText[m as Measure]?.[0] ?? m;
}

export function measureGloss(m: string): string {
  return measureText[m as Measure]?.[1] ?? "";
}

export function measureEffect(m: string): string {
  return measureText[m as Measure]?.[2] ?? "";
}

/** Whether requests under a measure get no answer of a model. */
export function refuses(m: string): boolean {
  return m === "step-up" || m === "suspend";
}

const techniques: Record<string, string> = {
  "AML.T0021": "Establish Accounts",
  "AML.T0024": "Exfiltration via AI Inference API",
  "AML.T0024.000": "Infer Training Data Membership",
  "AML.T0024.001": "Invert AI Model",
  "AML.T0024.002": "Extract AI Model",
  "AML.T0040": "AI Model Inference API Access",
};

/** Names a MITRE ATLAS technique where this version knows it. */
export function technique(id: string): string {
  return techniques[id] ? `${techniques[id]} (${id})` : id;
}

/** Words of states and roles, for people. */
export function plain(word: string): string {
  return word.replaceAll("_", " ");
}
