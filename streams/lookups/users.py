"""Many shoppers in one call: each is answered as if it had been asked for alone, by the worker that has it."""

import asyncio
from collections import defaultdict
from typing import Final

import msgspec
from aiohttp import web
from yarl import URL

from model.events import MAX_ID_BYTES
from service.partitioner import partition_of
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from streams.lookups.answers import Problem, Refusal, UserResult, UserResults
from streams.lookups.forwarding import forward_users, owner_of
from streams.lookups.item_query import ItemQuery, Recommender, UsersQuery
from streams.lookups.lookup import JoinedError, Lookup, NotHereError, UnknownShopperError
from streams.lookups.problems import REFUSED, ProblemError, problem_of
from streams.transport import BatchApp

MOST_ITEMS_IN_ALL: Final = 20_000
"""`k` times the shoppers: some 20 MB of answers."""

_encode: Final = msgspec.json.Encoder().encode
_Results = dict[str, UserResult]


class ManyUsers:
    """Answers for lists of shoppers."""

    def __init__(
        self,
        app: BatchApp,
        look_up: Lookup,
        partitions: int,
        recommender: Recommender | None,
        pseudonyms: Pseudonyms = NO_PSEUDONYMS,
    ) -> None:
        self._app, self._look_up, self._partitions, self._recommender = app, look_up, partitions, recommender
        self._pseudonyms = pseudonyms

    def _key(self, user_id: str) -> bytes:
        return self._pseudonyms.of(user_id).encode()

    async def answer(self, request: web.Request, body: bytes) -> UserResults:
        """Return one result a shopper, in the order asked; raises ProblemError if the request makes no sense."""
        wanted = self._wanted(body)
        results, elsewhere, joins = _Results(), defaultdict[URL, list[str]](list), dict[str, str]()
        for user_id in dict.fromkeys(wanted.user_ids):
            try:
                results[user_id] = UserResult(user_id, answer=await self._own(self._key(user_id), wanted.items))
            except JoinedError as joined:
                joins[user_id] = joined.user.decode()
            except NotHereError:
                self._look_elsewhere(request, user_id, results, elsewhere)
            except ProblemError as refused:
                results[user_id] = UserResult(user_id, error=refused.problem)
            await asyncio.sleep(0)  # others wait for the loop
        asked = (self._asked(request, owner, user_ids, wanted.items) for owner, user_ids in elsewhere.items())
        of_joined = (self._joined(request, asked_for, user, wanted.items) for asked_for, user in joins.items())
        for of_owner in await asyncio.gather(*asked, *of_joined):
            results.update(of_owner)
        return UserResults([results[user_id] for user_id in wanted.user_ids])

    def _wanted(self, body: bytes) -> UsersQuery:
        try:
            wanted = msgspec.json.decode(body, type=UsersQuery)
        except (msgspec.DecodeError, UnicodeDecodeError) as invalid:
            raise ProblemError(400, "bad_request", f"the body is not as the OpenAPI document says: {invalid}") from None
        if wanted.items is None:
            return wanted
        if self._recommender is None:
            raise ProblemError(400, "bad_request", "items: the worker's model recommends none")
        if wanted.items.k * len(wanted.user_ids) > MOST_ITEMS_IN_ALL:
            raise ProblemError(
                400, "bad_request", f"k times the number of users is more than {MOST_ITEMS_IN_ALL}: ask in parts"
            )
        return wanted

    async def _own(self, user: bytes, items: ItemQuery | None) -> msgspec.Raw:
        """Answer for a shopper of this worker; raises NotHereError and ProblemError."""
        if len(user) > MAX_ID_BYTES:
            raise ProblemError(414, "too_long", f"the user id has {len(user)} bytes, more than {MAX_ID_BYTES}")
        partition = partition_of(user, self._partitions)
        try:
            if items is None or self._recommender is None:
                return msgspec.Raw(_encode(await self._look_up.shopper(user, partition)))
            return msgspec.Raw(_encode(await self._recommender.items(user, partition, items)))
        except REFUSED as refused:
            raise problem_of(refused) from None

    async def _joined(self, request: web.Request, asked_for: str, user_id: str, items: ItemQuery | None) -> _Results:
        """Answer for the user to whom an id is joined."""
        try:
            found = UserResult(user_id, answer=await self._own(user_id.encode(), items))
        except JoinedError:  # joined ids are not followed from one to the next
            found = UserResult(user_id, error=problem_of(UnknownShopperError()).problem)
        except ProblemError as refused:
            found = UserResult(user_id, error=refused.problem)
        except NotHereError:
            found = await self._asked_elsewhere(request, user_id, items)
        if isinstance(found.answer, msgspec.UnsetType):
            return {asked_for: UserResult(asked_for, error=found.error)}
        named = msgspec.json.decode(found.answer) | {"asked_for": asked_for}
        return {asked_for: UserResult(asked_for, answer=msgspec.Raw(_encode(named)))}

    async def _asked_elsewhere(self, request: web.Request, user_id: str, items: ItemQuery | None) -> UserResult:
        try:
            owner = owner_of(self._app, request, self._key(user_id), joined=True)
        except ProblemError as refused:
            return UserResult(user_id, error=refused.problem)
        return (await self._asked(request, owner, [user_id], items))[user_id]

    def _look_elsewhere(
        self, request: web.Request, user_id: str, results: _Results, elsewhere: dict[URL, list[str]]
    ) -> None:
        try:
            elsewhere[owner_of(self._app, request, self._key(user_id))].append(user_id)
        except ProblemError as refused:
            results[user_id] = UserResult(user_id, error=refused.problem)

    async def _asked(self, request: web.Request, owner: URL, user_ids: list[str], items: ItemQuery | None) -> _Results:
        """Ask another worker for its shoppers; if it refuses, each of them is refused so."""
        try:
            status, body = await forward_users(self._app, request, owner, _encode(UsersQuery(user_ids, items)))
            return _results(status, body, user_ids)
        except ProblemError as refused:
            problem = refused.problem
        return {user_id: UserResult(user_id, error=problem) for user_id in user_ids}


def _results(status: int, body: bytes, user_ids: list[str]) -> _Results:
    """Read what another worker answered; raises ProblemError."""
    try:
        if status != 200:
            problem = msgspec.json.decode(body, type=Refusal).error
            raise ProblemError(status, problem.code, problem.message)
        results = {result.user_id: result for result in msgspec.json.decode(body, type=UserResults).results}
    except (msgspec.DecodeError, UnicodeDecodeError):
        results = {}
    unknown = Problem("owner_answer", "what should be the worker that has the user answers something else")
    return {user_id: results.get(user_id, UserResult(user_id, error=unknown)) for user_id in user_ids}
