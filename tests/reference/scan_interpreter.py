"""A SCAN interpreter: reads a command from the outside in, by the published rules of interpretation."""

PRIMITIVES = {"walk": ["WALK"], "look": ["LOOK"], "run": ["RUN"], "jump": ["JUMP"], "turn": []}
TURNS = {"left": "LTURN", "right": "RTURN"}


def interpret(command: str) -> list[str]:
    words = command.split()
    if "and" in words:
        at = words.index("and")
        return interpret(" ".join(words[:at])) + interpret(" ".join(words[at + 1 :]))
    if "after" in words:
        at = words.index("after")
        return interpret(" ".join(words[at + 1 :])) + interpret(" ".join(words[:at]))
    if words[-1] == "twice":
        return interpret(" ".join(words[:-1])) * 2
    if words[-1] == "thrice":
        return interpret(" ".join(words[:-1])) * 3
    verb, rest = words[0], words[1:]
    actions = PRIMITIVES[verb]
    if not rest:
        assert verb != "turn", "turn alone is no command"
        return list(actions)
    turn = TURNS[rest[-1]]
    if rest[0] == "opposite":
        return [turn, turn, *actions]
    if rest[0] == "around":
        return [turn, *actions, turn, *actions, turn, *actions, turn, *actions]
    return [turn, *actions]
