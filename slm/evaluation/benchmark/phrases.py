"""What people and kernels ask for, in words that no training text of ours has: the templates of the intent items.

They are other than those of :mod:`slm.corpus.instructions.recipes` throughout, sentences, not deeds put into frames;
fields in braces are filled from the same values. A whole template is held out, so that what is measured is
understanding of a new wording, not of a new disk's name in an old one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from slm.corpus.clean import clean_text
from slm.corpus.instructions.exchange import INTENT_OF
from slm.corpus.instructions.intents import values_for
from slm.evaluation.benchmark.items import IntentPhrase, Item, SubCommandPhrase

#: The set that these items belong to.
TEMPLATE = "template"
#: Fillings of each template that has a field.
_FILLINGS = 2

#: Templates by sub-command, parted by ``|``.
_TEMPLATES = {
    "IDENTIFY_PCI": "Somebody put a card into the second PCIe slot; tell me its model.|I want names, not numbers, "
    "for everything lspci finds.|Vendor and model of the {device}, please.|The {device} has no label. Can you name "
    "it anyway?|Is the {device} in this box made by Intel or by someone else?|New PCI function announced, class "
    "{code}: describe it.",
    "IDENTIFY_USB": "A {gadget} has just appeared on port 3, describe it.|Tell me the brand of the {gadget} hanging "
    "off the hub.|Something was hot-plugged over USB; name it.|Which gadgets hang on my USB hub at the moment?|Give "
    "me vendor and product of the {gadget} in the front socket.|Unknown USB thing enumerated as full speed, looks "
    "like a {gadget}. Model?",
    "IDENTIFY_PLATFORM": "Is this an AMD or an Intel chip?|How many threads does the processor offer?|Give me the "
    "model number printed on the main circuit board.|Am I on a virtual machine or on real iron?|What firmware "
    "release did this computer ship with?|Describe the on-chip peripherals that sit on no discoverable bus.",
    "DRV_SELECT": "My {device} just sits there without a driver; choose one.|Which .ko file makes the {device} work?|"
    "Pick the right module for a class {code} function.|What has to be modprobed before the {device} comes alive?|"
    "Recommend a kernel driver for the {device} in slot 4.|Has {module} been inserted yet, and if not, do it.",
    "DRV_CONFIGURE": "Tune {module}: I would like {param} at {value}.|Hand {param}={value} over to {module} whenever "
    "it loads.|How do I make a module option of {module} survive a reboot?|{module} ought to stay out of memory; put "
    "it on the blacklist.|Which knobs does the {module} driver expose?|Change the driver setting {param} to {value} "
    "permanently.",
    "DRV_FALLBACK": "{driver} probed and gave up with -19; what is plan B?|After {driver} crashed the box I need a "
    "substitute driver.|Suggest the next best module because {driver} refuses the card.|The first choice, {driver}, "
    "was rejected; name the second.|Try something other than {driver} on that device.|{driver} hangs on load, so "
    "give me the backup driver.",
    "PARTITION_DISK": "Carve {disk} into an EFI area and a root area.|Split {disk} in two halves.|{disk} is brand "
    "new and has no layout yet; set one up.|Reserve {size} on {disk} for the system.|Throw away the MBR of {disk} "
    "and use GPT instead.|Add one more slice of {size} behind the others on {disk}.",
    "FORMAT_FS": "Wipe {part} and give it a fresh {fs}.|Lay down an empty {fs} over {part}.|I would like {part} to "
    "hold {fs} instead of what is there.|Run the right mkfs for {fs} against {part}.|Initialise {part} for swapping.|"
    "Which mkfs call do I need so that {part} carries {fs}?",
    "MOUNT_FS": "Let the contents of {part} show up below {point}.|{part} must be reachable under {point} as soon as "
    "the machine is up.|Take {point} offline, I want to pull the disk.|Hook {part} into the tree at {point}.|Make "
    "{point} immutable by mounting it ro.|Write an fstab entry that puts {part} on {point}.",
    "NETWORK_CONFIG": "{iface} gets {address}, statically.|Point the resolver of {iface} at {nameserver}.|Packets "
    "for elsewhere shall leave by {gateway}.|Let {iface} lease its address from the router.|Enable the link {iface} "
    "and lower its MTU to {mtu}.|Configure networking: {iface}, {address}, gateway {gateway}.",
    "HOSTNAME_SET": "From today on the box answers to {host}.|Give the machine the name {host}.|The prompt says "
    "localhost; I prefer {host}.|Put {host} into /etc/hostname for me.|Our naming scheme says that this one is "
    "{host}; apply it.|Baptise this server {host}.",
    "PKG_SEARCH": "What could I download that is {purpose}?|Does Debian ship {package}, and in which release?|Under "
    "which package name do I find {purpose}?|{file} came from somewhere: which .deb?|Browse the archive for anything "
    "about {word}.|Recommend a program that is {purpose}.",
    "PKG_INSTALL": "Set me up with {package}.|Fetch {package} and its dependencies from the mirror.|Put {package} on "
    "this box, would you?|{package} is missing here, fix that with apt.|I would love to have {package} on my laptop.|"
    "Deploy {package} from the Debian archive.",
    "PKG_REMOVE": "{package} can go.|Take {package} off this machine, settings included.|Free some room by throwing "
    "out {package}.|Nobody here uses {package}; drop it.|Erase {package} without leaving traces.|Wipe orphaned "
    "libraries that apt pulled in long ago.",
    "PKG_UPDATE": "Pull in all pending security fixes.|Is {package} at its latest version? If not, move it up.|Roll "
    "the whole distribution forward to today's packages.|Freeze {package} where it is during upgrades.|Patch this "
    "server.|Refresh the package lists and apply whatever is newer.",
    "SVC_START": "Fire up {service}.|Get {service} going, now and after power cuts.|Kick {service} so that it reads "
    "its new configuration.|{service} was down since the reboot; have it run.|Bounce the {service} daemon.|Make sure "
    "that {service} comes up with the system.",
    "SVC_STOP": "Take {service} down for maintenance.|Put an end to the {service} daemon until I say otherwise.|"
    "{service} eats cycles for nothing; terminate it.|No more {service} on this host, neither now nor at boot.|Pause "
    "the {service} service.|Quit {service} cleanly.",
    "SVC_STATUS": "Has {service} crashed or is it up?|Give me a health report on {service}.|Are any units red at the "
    "moment?|Since when has {service} been active?|Will {service} come up by itself next time?|Quick check: "
    "{service}, dead or alive?",
    "RESOURCE_QUERY": "Who is hogging the processor right now?|Tell me the used and free gigabytes of {point}.|What "
    "percentage of the RAM is taken?|Print the {number} greediest tasks.|Load average over the past quarter of an "
    "hour?|Which directories below {point} have grown fat?",
    "LOG_QUERY": "Anything noteworthy from {service} since {time}?|Tail the journal of {service} for me.|Print "
    "{number} lines out of the ring buffer.|Dig out the warnings that {service} wrote.|What was recorded about "
    "{service} around the last boot?|Open the system journal at the most recent errors.",
    "DIAG_NETWORK": "Pings to {target} vanish, though {iface} has a lease.|Web pages load by number but never by "
    "name.|Every few minutes {iface} loses its carrier.|Half the packets towards {target} are dropped, where?|ssh to "
    "{target} times out; what is broken on the way?|{iface} negotiates 10 Mbit instead of a gigabit.",
    "DIAG_STORAGE": "The kernel prints blk_update_request errors for {disk}.|{disk} clicks and copying from it takes "
    "ages.|Files on {part} come back as garbage.|Writes to {point} fail with ENOSPC although du disagrees.|SMART "
    "reports reallocated sectors on {disk}, is that bad?|fsck keeps finding errors on {part} after each crash.",
    "DIAG_MEMORY": "{service} grows by a hundred megabytes an hour.|Compilers segfault at a different place each "
    "run.|The box thrashes its swap all day.|oom-killer invoked: order=0, victim {service}.|EDAC counts corrected "
    "errors on one DIMM.|Half of my gigabytes seem to be gone after a week of uptime.",
    "DIAG_GENERAL": "The fan howls and nothing responds to the keyboard.|Oops: general protection fault at every "
    "shutdown.|{service} dies with exit code 1 right after its launch.|It freezes solid about once a day, no trace "
    "left.|Start-up hangs at a black screen with a cursor.|Since the last update something is odd, please look into "
    "it.",
}  # fmt: skip


def templates() -> Iterator[tuple[str, str]]:
    """Yield every template with its sub-command."""
    return ((sub, template) for sub, found in _TEMPLATES.items() for template in found.split("|"))


def phrase_items(seed: int) -> Iterator[Item]:
    """Yield the items made from the templates: each phrase asked for its intent and for its sub-command."""
    for sub, template in templates():
        rng = random.Random(f"{seed}:{template}")
        phrases = dict.fromkeys(
            clean_text(template.format_map(values_for(template, rng)))
            for _ in range(_FILLINGS if "{" in template else 1)
        )
        for phrase in phrases:
            yield from both(phrase, sub, TEMPLATE)


def both(phrase: str, sub_command: str, label: str | None) -> tuple[Item, Item]:
    """Return the intent item and the sub-command item of a phrase."""
    return (
        IntentPhrase(label=label, text=phrase, answer=INTENT_OF[sub_command]),
        SubCommandPhrase(label=label, text=phrase, answer=sub_command),
    )
