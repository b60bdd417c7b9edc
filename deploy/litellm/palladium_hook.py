"""LiteLLM proxy asks Palladium about each request.

In the proxy's configuration:

    litellm_settings:
      callbacks: palladium_hook.palladium

Environment: PALLADIUM_CHECK, where checks are answered (http://127.0.0.1:9191); PALLADIUM_TOKEN, one of the tokens of
check.token_file; PALLADIUM_FAILURE, open (the default) or closed: what happens when Palladium does not answer.
"""

import asyncio
import logging
import os
import time

import httpx
from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger

# Fields that ask for more than the answer, which the measure withhold takes out.
WITHHELD = ("logprobs", "top_logprobs", "prompt_logprobs", "reasoning_effort", "thinking", "include_reasoning")


class Palladium(CustomLogger):
    def __init__(self):
        super().__init__()
        self.address = os.environ.get("PALLADIUM_CHECK", "http://127.0.0.1:9191").rstrip("/")
        self.closed = os.environ.get("PALLADIUM_FAILURE", "open") == "closed"
        token = os.environ.get("PALLADIUM_TOKEN")
        self.told = 0.0
        self.client = httpx.AsyncClient(timeout=2.0, headers={"Authorization": "Bearer " + token} if token else {})

    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        # The order in which Palladium reads LiteLLM's logs, so that both speak of the same accounts. The proxy's own
        # administrator stands for whoever is named as the end user.
        account = user_api_key_dict.user_id
        if account in (None, "", "default_user_id"):
            account = user_api_key_dict.end_user_id or user_api_key_dict.api_key
        answer = await self.ask(account or "")
        if not answer["allow"]:
            headers = {"X-Palladium-Reason": answer.get("reason", "")}
            if "retry_after" in answer:
                headers["Retry-After"] = str(answer["retry_after"])
            detail = {k: answer[k] for k in ("reason", "says", "appeal", "verify", "expires") if k in answer}
            raise HTTPException(status_code=answer["status"], detail=detail, headers=headers)
        if answer.get("delay_seconds"):
            await asyncio.sleep(answer["delay_seconds"])
        if answer.get("withhold"):
            for field in WITHHELD:
                data.pop(field, None)
            if data.get("n"):
                data["n"] = 1
        if answer.get("model"):
            data["model"] = answer["model"]
        if answer.get("tokens_left"):
            asked = data.get("max_completion_tokens") or data.get("max_tokens") or answer["tokens_left"]
            data["max_tokens"] = min(asked, answer["tokens_left"])
            data.pop("max_completion_tokens", None)
        return data

    async def ask(self, account):
        try:
            reply = await self.client.post(self.address + "/v1/check", json={"account": account})
            reply.raise_for_status()
            return reply.json()
        except (httpx.HTTPError, ValueError) as e:
            if time.monotonic() - self.told > 60 or not self.told:
                self.told = time.monotonic()
                status = getattr(getattr(e, "response", None), "status_code", "")
                outcome = "are refused" if self.closed else "pass"
                logging.getLogger("palladium").warning("Palladium does not answer checks, and requests %s: %s %s", outcome, type(e).__name__, status)
            if self.closed:
                return {"allow": False, "status": 503, "reason": "check.unavailable", "retry_after": 1}
            return {"allow": True, "status": 200}


palladium = Palladium()
