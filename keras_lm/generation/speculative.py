"""Several tokens in one pass of the model: cheap proposals, which the model reads at once.

Proposals that were not drawn (`PromptLookup`) are compared with what the model takes or draws
itself, with the same random numbers: the text is the one that it would have had without them, token
by token, up to rounding of logits. Those that a smaller model drew (`Draft`) go through rejection
sampling: the text has the distribution that it would have had, and where a row does not draw it is
the same text. Either way a pass gives one token more than it accepts.

R rows, K proposals, T = K + 1 places, N room for new tokens, V vocabulary.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.generation.loop import RUNNING, Decoder, Decoding, Generated, Reason, keep_shape
from keras_lm.generation.options import Options
from keras_lm.generation.penalties import penalizes
from keras_lm.generation.processing import Prompt, processor
from keras_lm.generation.proposals import (
    Proposal,
    Proposer,
    Read,
    Rewind,
    finite_rows,
    required_prompt,
    write_at,
)
from keras_lm.generation.rejection import Verdict, accepted_run, judge_drawn
from keras_lm.generation.rules import Rules
from keras_lm.generation.sampling import log_probability, pick_and_weigh
from keras_lm.generation.threefry import uniforms

Tensor = Any

# See `proposals`.
_STREAM = 2


class Speculation(NamedTuple):
    """A decoding by proposals.

    Attributes:
        newest: int32 `(R, 2)`, the two newest tokens of prompt and text.
        found: what there is so far; the reason of a row that has not ended is 0.
        passes: int32 `(R,)`, how often the model was run while the row had not ended, the pass that
            read the prompt included.
        proposed: int32 `(R,)`, how many tokens were proposed.
        accepted: int32 `(R,)`, how many of them became text or an end token.
        careful: bool `(R,)`, whether the next pass reads no proposals, since logits of the last one
            were not finite. A token that is proposed and never written may have made them so, and
            what is masked is not safe from it: its weight of 0 times infinity is none.
        idle: int32 scalar, how many tokens are read one by one if no row is proposed any.
    """

    newest: Tensor
    found: Generated
    passes: Tensor
    proposed: Tensor
    accepted: Tensor
    careful: Tensor
    idle: Tensor


class Speculator:
    """Continues rows until they end, several tokens at a time.

    What a row gets depends on its own logits, options and sequence number, as with `Decoder`. Where
    no row is proposed any token, the decoder takes the next ones, twice as many each time it
    happens, up to K: to look for proposals in vain costs time, too.

    Args:
        decoder: a `Decoder` of the rows, with a prompt, without `make_room`. Its `should_stop` is
            called with T rows for each.
        read: takes int32 `(R, X)`, tokens that follow what each row has read, and the cache;
            returns float logits `(R, X, V)` of the token behind each, and the cache in the same
            shapes.
        rewind: takes the cache, int32 `(R,)` and a bool scalar; returns a cache from which so many
            of the newest tokens of each row are gone. Where the bool is False their logits were not
            finite: what they left in the cache must not just be hidden.
        proposer: a `Proposer`.
    """

    def __init__(self, decoder: Decoder, read: Read, rewind: Rewind, proposer: Proposer) -> None:
        self.decoder, self.read, self.rewind, self.proposer = decoder, read, rewind, proposer
        self.prompt = required_prompt(decoder)
        plain = decoder.rules is None or decoder.rules == Rules()
        asked = decoder.options.min_new_tokens > 0
        self.processes = tf.reduce_any(asked | penalizes(decoder.options)) | (not plain)
        self.chance_RN = uniforms(
            decoder.options.seed, decoder.buffer_length, decoder.sequence, stream=_STREAM
        )

    def start(self, logits: Tensor) -> Speculation:
        """Picks the first token of each row; see `Decoder.start`."""
        decoding = self.decoder.start(logits)
        before_R = tf.gather(
            self.prompt.token_ids, tf.maximum(self.prompt.lengths - 1, 0), batch_dims=1
        )
        none_R = tf.zeros_like(before_R)
        newest_R2 = tf.stack([before_R, decoding.last], 1)
        careful_R = tf.zeros_like(none_R, tf.bool)
        return Speculation(
            newest_R2, decoding.found, none_R + 1, none_R, none_R, careful_R, tf.constant(1)
        )

    def go_on(self, state: Speculation, cache: Any, drafts: Any) -> tuple[Speculation, Any, Any]:
        """Picks tokens until all rows have ended.

        Args:
            state: of `start`.
            cache: of the model, in which the newest token of each row was not read yet, with room
                for K positions more than the text may get.
            drafts: cache of the proposer.

        Returns:
            The state and both caches.
        """

        def goes_on(state: Speculation, *_: Any) -> Tensor:
            return tf.reduce_any(tf.equal(state.found.reasons, RUNNING))

        def turn(state: Speculation, *caches: Any) -> Any:
            return tf.nest.map_structure(keep_shape, self._turn(state, *caches), (state, *caches))

        return tf.while_loop(goes_on, turn, (state, cache, drafts), parallel_iterations=1)

    def _turn(self, state: Speculation, cache: Any, drafts: Any) -> tuple[Speculation, Any, Any]:
        proposal, drafts = self.proposer.propose(state.found, state.newest, drafts)

        def several() -> tuple[Speculation, Any, Any]:
            return self._several(state, proposal, cache, drafts)

        if proposal.token_ids.shape[1] is not None:
            return several()
        return tf.cond(
            tf.shape(proposal.token_ids)[1] > 0,
            several,
            lambda: self._one_by_one(state, proposal, cache, drafts),
        )

    def _one_by_one(
        self, state: Speculation, proposal: Proposal, cache: Any, drafts: Any
    ) -> tuple[Speculation, Any, Any]:
        """Takes some tokens as if there were no proposals."""
        before, last_R = state.found, state.newest[:, 1]
        decoding = Decoding(tf.constant(0), last_R, before)
        decoding, cache = self.decoder.go_on(decoding, cache, state.idle)
        found = decoding.found
        ends_R = tf.equal(before.reasons, RUNNING)
        ends_R &= tf.equal(found.reasons, int(Reason.END_TOKEN))
        taken_R = found.lengths - before.lengths + tf.cast(ends_R, tf.int32)
        second_R = tf.gather(
            found.token_ids, tf.maximum(found.lengths - 2, 0), axis=1, batch_dims=1
        )
        second_R = tf.where(taken_R > 1, second_R, last_R)
        # A row that has ended is stepped along, into the room for proposals.
        cache = self.rewind(cache, decoding.count - taken_R, tf.constant(True))
        new = state._replace(
            newest=tf.stack([second_R, decoding.last], 1),
            found=found,
            passes=state.passes + taken_R,
            careful=tf.zeros_like(state.careful),
            idle=tf.minimum(2 * state.idle, self.proposer.num_tokens),
        )
        return new, cache, self.proposer.settle(drafts, proposal, taken_R)

    def _several(
        self, state: Speculation, proposal: Proposal, cache: Any, drafts: Any
    ) -> tuple[Speculation, Any, Any]:
        """Reads what is proposed, and takes what is accepted and one token more."""
        found, decoder = state.found, self.decoder
        proposal = proposal._replace(
            token_ids=tf.where(state.careful[:, None], state.newest[:, 1:], proposal.token_ids),
            counts=tf.where(state.careful, 0, proposal.counts),
        )
        read_RT = tf.concat([state.newest[:, 1:], proposal.token_ids], 1)
        length = tf.shape(read_RT)[1]
        logits_RTV, cache = self.read(read_RT, cache)
        raw_RTV = tf.cast(logits_RTV, tf.float32)
        vocab_size = raw_RTV.shape[-1]

        # Every place is a row of its own from here on: F = R x T.
        place_RT = found.lengths[:, None] + tf.range(length)[None]
        place_RT = tf.minimum(place_RT, decoder.buffer_length - 1)

        row_F = tf.repeat(tf.range(tf.shape(read_RT)[0]), length)

        def per_place(x: Tensor) -> Tensor:
            return tf.gather(x, row_F)

        options_F = Options(*map(per_place, decoder.options))
        raw_FV = tf.reshape(raw_RTV, [-1, vocab_size])

        def processed() -> Tensor:
            process = processor(
                options_F._replace(max_new_tokens=per_place(decoder.max_new_B)),
                rules=decoder.rules,
                prompt=Prompt(*map(per_place, self.prompt)),
                end_ids=decoder.end_ids,
            )
            guess_RN = write_at(found.token_ids, read_RT, found.lengths - 1, proposal.counts + 1)
            return process(raw_FV, per_place(guess_RN), tf.reshape(place_RT, [-1]))

        logits_FV = tf.cond(self.processes, processed, lambda: raw_FV)
        verdict = self._judge(proposal, logits_FV, place_RT, options_F)

        # Of the tokens that a row could get, those up to the first that ends it.
        running_R = tf.equal(found.reasons, RUNNING)
        fails_R = running_R & ~state.careful & ~finite_rows(raw_RTV)
        could_R = tf.where(running_R & ~fails_R, verdict.accepted + 1, 0)
        reason_RT = self._reasons(found, verdict, could_R, row_F)
        ends_RT = tf.not_equal(reason_RT, RUNNING) & (tf.range(length)[None] < could_R[:, None])
        ends_R = tf.reduce_any(ends_RT, 1)
        end_R = tf.argmax(ends_RT, 1, output_type=tf.int32)
        taken_R = tf.where(ends_R, end_R + 1, could_R)
        reason_R = tf.where(ends_R, tf.gather(reason_RT, end_R, batch_dims=1), found.reasons)
        text_R = taken_R - tf.cast(ends_R & tf.equal(reason_R, int(Reason.END_TOKEN)), tf.int32)

        def scored() -> tuple[Tensor, ...]:
            token_F = tf.reshape(verdict.token_ids, [-1])
            model_F = tf.gather(raw_FV, token_F, batch_dims=1) - tf.reduce_logsumexp(raw_FV, -1)
            weight_F = tf.reshape(verdict.weights, [-1])
            drawn_F = log_probability(logits_FV, token_F, weight_F, options_F)
            return tuple(
                write_at(old, tf.reshape(new, [-1, length]), found.lengths, taken_R)
                for old, new in ((found.log_probs, model_F), (found.processed_log_probs, drawn_F))
            )

        scores: tuple[Tensor, ...] = (found.log_probs, found.processed_log_probs)
        if decoder.scores is not False:
            old = scores
            asked = decoder.scores
            scores = scored() if asked is True else tf.cond(asked, scored, lambda: old)
        token_ids_RN = write_at(found.token_ids, verdict.token_ids, found.lengths, text_R)
        new_found = Generated(token_ids_RN, found.lengths + text_R, reason_R, *scores)
        line_RX = tf.concat([state.newest, verdict.token_ids], 1)
        new = Speculation(
            newest=tf.gather(line_RX, taken_R[:, None] + tf.range(2)[None], batch_dims=1),
            found=new_found,
            passes=state.passes + tf.cast(running_R, tf.int32),
            proposed=state.proposed + tf.where(could_R > 0, proposal.counts, 0),
            accepted=state.accepted + tf.minimum(verdict.accepted, taken_R),
            careful=fails_R,
            idle=tf.constant(1),
        )
        cache = self.rewind(cache, length - taken_R, ~tf.reduce_any(fails_R))
        return new, cache, self.proposer.settle(drafts, proposal, taken_R)

    def _judge(
        self, proposal: Proposal, logits_FV: Tensor, place_RT: Tensor, options_F: Options
    ) -> Verdict:
        def at_places(x_RN: Tensor, place_RX: Tensor) -> Tensor:
            return tf.gather(x_RN, place_RX, batch_dims=1)

        uniform_RT = at_places(self.decoder.uniform_BN, place_RT)
        shape = tf.shape(place_RT)
        if proposal.logits is not None:
            logits_RTV = tf.reshape(logits_FV, tf.concat([shape, [logits_FV.shape[-1]]], 0))
            chance_RK = at_places(self.chance_RN, place_RT[:, :-1])
            return judge_drawn(proposal, logits_RTV, chance_RK, uniform_RT, self.decoder.options)
        token_F, weight_F = pick_and_weigh(logits_FV, tf.reshape(uniform_RT, [-1]), options_F)
        token_RT = tf.reshape(token_F, shape)
        run_R = accepted_run(tf.equal(token_RT[:, :-1], proposal.token_ids), proposal.counts)
        return Verdict(token_RT, run_R, tf.reshape(weight_F, shape))

    def _reasons(
        self, found: Generated, verdict: Verdict, could_R: Tensor, row_F: Tensor
    ) -> Tensor:
        """Why a row would end with each token, int32 `(R, T)`; 0: it goes on."""
        token_RT = verdict.token_ids
        length = tf.shape(token_RT)[1]
        length_RT = found.lengths[:, None] + tf.range(1, length + 1)[None]
        ends_RT = tf.zeros_like(token_RT, tf.bool)
        for end in self.decoder.end_ids:
            ends_RT |= tf.equal(token_RT, end)
        # From the weakest reason to the strongest, as in `Decoder`.
        full_RT = length_RT >= self.decoder.max_new_B[:, None]
        reason_RT = tf.where(full_RT, int(Reason.LENGTH), RUNNING)
        if self.decoder.should_stop is not None:
            written_RN = write_at(found.token_ids, token_RT, found.lengths, could_R)
            length_F = tf.minimum(tf.reshape(length_RT, [-1]), self.decoder.buffer_length)
            stops_F = self.decoder.should_stop(tf.gather(written_RN, row_F), length_F)
            stops_RT = tf.reshape(stops_F, [-1, length])
            reason_RT = tf.where(stops_RT, int(Reason.STOPPED), reason_RT)
        return tf.where(ends_RT, int(Reason.END_TOKEN), reason_RT)
