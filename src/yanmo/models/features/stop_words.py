"""Words that say how a sentence is built and not what it is about, in English and Chinese.

Own lists of function words: articles, pronouns, prepositions, conjunctions, auxiliaries, particles. Words
with a meaning of their own stay out, as do numbers; published lists hold many that surprise (Nothman, Qin
and Yurchak 2018, "Stop Word Lists in Free Open-source Software Packages"). The English list has the parts
that an apostrophe leaves behind (``don't`` is ``don`` and ``t`` among terms).
"""

from __future__ import annotations


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


ENGLISH = _listed(
    """
    a an the this that these those
    i me my mine myself we us our ours ourselves you your yours yourself yourselves
    he him his himself she her hers herself it its itself they them their theirs themselves
    one who whom whose which what whoever whatever whichever
    and or but nor so yet if then else because as since until while although though unless whether than
    when whenever where wherever why how
    of at by for with about against between among into onto through during before after above below
    to from up down in out on off over under within without upon toward towards across along around per
    via
    am is are was were be been being have has had having do does did doing done
    can could may might must shall should will would ought
    not no none neither either both each every any some all few more most much many several such
    other another own same only just also too very again once ever never always often
    here there now still already thus hence therefore however
    something anything nothing everything someone anyone everyone nobody somebody anybody everybody
    s t d m ll re ve don doesn didn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn mustn
    needn
    ain shan mightn
    """
)

CHINESE = _listed(
    """
    的 了 着 过 地 得 之 所 者 也 矣 焉 乎 哉 兮 吗 呢 吧 啊 呀 嘛 哦 哪 么 罢了 而已
    我 你 您 他 她 它 我们 你们 他们 她们 它们 咱 咱们 自己 自身 大家 人家 别人 本人
    这 那 此 该 其 某 各 每 这个 那个 这些 那些 这样 那样 这么 那么 这里 那里 这儿 那儿 此处 其中 其他
    其它 其余 之一
    这种 那种 各种 各个 每个 某个 某些 一些 一个 一种 一样 有些 有的
    谁 什么 怎么 怎样 怎么样 如何 为何 为什么 哪里 哪个 哪些 哪儿 几 多少 何 何时
    是 有 在 为 被 把 将 让 使 使得 给 叫 由 由于 对 对于 关于 至于 跟 和 与 同 及 以及 或 或者 还是 并
    并且 而 而且 且 则
    因 因为 因此 因而 所以 于是 从而 既然 如果 若 若是 假如 倘若 要是 只要 只有 除非 无论 不论 不管 即使
    尽管 虽然 虽
    但 但是 可是 然而 不过 却 反而 否则 不但 不仅 不只 甚至 何况 况且 宁可 与其 此外 另外 同时 然后 接着
    之后 以后 之前 以前
    从 自 自从 到 向 往 朝 于 以 按 按照 据 根据 依 依据 凭 通过 经 经过 沿 随 随着 除 除了 除此 比 比如
    例如 像 如 如同 譬如
    不 没 没有 别 未 勿 莫 非 无 并非 不是 不能 不会 不要 不可
    很 太 更 最 极 非常 十分 相当 比较 较 稍 稍微 有点 几乎 差不多 大约 大概
    都 全 皆 均 也 又 还 再 仍 仍然 依然 才 就 便 即 只 仅 仅仅 光 单 已 已经 曾 曾经 正 正在 刚 刚刚 总
    总是 常 常常 往往
    会 能 能够 可 可以 可能 应 应该 应当 必须 必 须 要 需要 想 愿意 敢 肯
    上 下 里 中 内 外 前 后 间 上面 下面 里面 外面 之间 之中 之内 之外 左右
    个 些 等 等等 第 们 似的 一般 般 来 去 来说 而言 起来 下来 出来 下去 其实 当 当时 当中 时 时候 的话
    的时候
    """
)

STOP_WORDS = ENGLISH | CHINESE
