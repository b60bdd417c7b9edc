// The shapes of the API, as its description has them.
import type { Campaign as Beyond, CampaignItem } from "./gen/schema";

export type * from "./gen/schema";

/** A campaign in full: all of its line in the queue, and what a person needs beyond it. */
export type Campaign = CampaignItem & Beyond;
