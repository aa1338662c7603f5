"""Every reject code in one plain sentence, for people who read a run."""

from __future__ import annotations

CODES: dict[str, str] = {
    # structure
    "bad_role_order": "The messages do not follow the order user, agent, tools.",
    "no_final_answer": "The conversation ends without a final answer of the agent.",
    "truncated": "A message was cut off before its end.",
    "empty_turn": "A message says nothing and calls nothing.",
    "too_long": "The trajectory has more turns, calls or tokens than the limits allow.",
    # tools
    "unknown_tool": "The agent called a tool that the domain does not have.",
    "bad_arguments": "The arguments of a call do not fit the tool's schema.",
    "unanswered_call": "A tool call has no answer, or an answer has no call.",
    "repeated_call": "The agent made the same call again though nothing had changed.",
    # world
    "precondition_violated": "A call succeeded though it did not apply in this state.",
    "false_refusal": "A call was refused though it applied in this state.",
    "bad_effect": "An effect's path or type does not fit the state.",
    "read_changed_state": "A tool that only reads changed the state.",
    "effect_missing": "A write said that it succeeded and changed nothing.",
    "contradicts_state": "A tool's answer says something else than the state.",
    "contradicts_observation": "Something said later disagrees with what a tool had answered.",
    "low_agreement": "The world model's answers to one call agree too little.",
    # grounding
    "invented_argument": "The agent used an id or number that it had never been told.",
    "leaked_hidden_state": "Someone knew a part of the state that was never shown to them.",
    # text
    "control_tokens": "The text holds chat control tokens, which can forge turns.",
    "repetition": "The text repeats itself over and over.",
    "refusal_text": "A role fell out of character and refused as a language model.",
    "secret": "The text holds something that looks like a key or password.",
    "pii": "The text holds something that looks like personal data.",
    # values
    "unreadable_value": "A number or nesting is beyond what readers of the rows can hold.",
    # corpus
    "copy_of_seed": "The trajectory says the same as its seed.",
    "exact_duplicate": "An earlier trajectory of the plan has the same content.",
    "near_duplicate": "An earlier trajectory of the plan is almost the same.",
    "contaminated": "The trajectory overlaps with a benchmark that it must not touch.",
    # rollout
    "bad_answer": "A model's answer could not be used, and its retries were spent.",
    "unwanted_outcome": "It ended in a way that the pipeline's `keep` does not want.",
    # judge
    "policy_violation": "The agent broke the domain's policy.",
    "goal_not_reached": "The final state does not fulfil the goal.",
    "low_quality": "The judge scored the trajectory below the bar.",
}


def explain(code: str) -> str:
    """What `code` means, in one sentence; codes of own filters explain themselves."""
    return CODES.get(code, "A filter of this pipeline gave this reason.")
