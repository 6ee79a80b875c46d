"""Many more ways to say what people want of a system, to teach a model its intents by.

A corpus' recipes (:mod:`slm.corpus.instructions.recipes`) word each wish a few times; a small model that has read those
alone knows their words and no others. Here a wish is said as people say it: brief or at length, as an order, a
complaint, a question or a note. Templates are parted by ``|``; ``[a/b/c]`` is one of its alternatives, of which one
may be empty; fields in braces are filled from :data:`~slm.corpus.instructions.values.VALUES`.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence

from slm.corpus.clean import clean_text
from slm.corpus.instructions.intents import values_for
from slm.corpus.mix import Split
from slm.evaluation.benchmark.items import Item
from slm.evaluation.benchmark.phrases import both

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_ASKS = re.compile(r"(?:what|which|who|how|why|is|are|does|do|did|has|can|where|when|will|would|any)\b")
_MARKS = "....!"
#: What a person may put before a phrase or behind it; most often nothing.
_BEFORE = (*[""] * 14, "please ", "hey, ", "hi, ", "quick question: ", "could you help? ", "so, ", "ok, ", "urgent: ")
_BEHIND = (*[""] * 14, " please", " thanks", ", can you help", " now", " if possible")
#: The chances that it is typed without capitals, and without its last mark.
_LOWER, _BARE = 0.35, 0.3
#: Draws in a row that say nothing new, after which a sub-command is exhausted.
_PATIENCE = 100

_TEMPLATES = {
    "IDENTIFY_PCI": "[what/which] [card/board/expansion card/adapter] is [in/plugged into] [slot {number}/the first "
    "slot/the PCI Express slot/bus 0]|[name/describe/identify/recognise] the [card/board/device/chip] [in the PCIe "
    "slot/on the PCI bus/that lspci shows]|who [manufactured/makes/built/sells] [this/that/my/the] {device}|[what "
    "brand/which brand/what make/which maker/what model] is [my/the/this] {device}|[brand/maker/vendor/model/exact "
    "name] of [my/the/this] {device}|[tell me/I want to know/say] what [this/the/that] {device} is|[I found/there "
    "is/we have] an unknown {device} in [the machine/this server/my PC], what is it|[exact/full/precise] "
    "[model/name/product name] of the {device}|decode [this/the] PCI id [for me/]|[list/enumerate/print/dump] "
    "[everything/every function/all functions/all hardware/the cards] on the PCI bus|a new [card/PCI device/PCI "
    "function] of class {code} [appeared/showed up/was found/has been detected], [what is it/identify it/tell me "
    "what it is]|is [my/this/the] {device} [from/by] [Realtek/Intel/Broadcom/Nvidia/AMD/Marvell]|[which/what] chip "
    "[drives/is on/sits on] [my/the] {device}|lspci [says/prints/shows] [only numbers/an unknown device/class "
    "{code}], [what is that/translate it/give me the name]|human readable names for [all/the] PCI "
    "[devices/ids/cards]|[the/my] {device} has no [sticker/name/markings], [identify it/which one is it/what model "
    "is it]|[query/look up] the [vendor/maker] of the device in [slot/bay] {number}|unknown [pci device/PCIe "
    "card/class {code} device]",
    "IDENTIFY_USB": "[what/which] [is/was] [just/newly/] [plugged in/connected/attached/inserted] [over/via/by/on] "
    "usb|[name/describe/identify/recognise] the {gadget} [on/at/in] [the usb port/the hub/port {number}/my "
    "laptop]|[who makes/brand of/maker of/vendor of/model of] [this/the/my] usb "
    "{gadget}|[list/enumerate/show/print] [everything/all things/all gadgets/the gadgets] [on/connected to] [the "
    "usb bus/the usb hub/my usb ports]|a[ new/n unknown/ strange] {gadget} [appeared/showed up/enumerated/was "
    "hotplugged] on usb|[what/which] {gadget} is [this/that/attached/connected]|I "
    "[connected/attached/inserted/hooked up] a {gadget}[, what is it/, tell me its model/; who made it]|lsusb "
    "[shows/prints] [an unknown device/a {gadget} without a name/only an id][, what is it/]|[usb device/unknown usb "
    "device/new usb device] [descriptor/announced/arrived], [identify it/what is it]|which [gadgets/sticks/usb "
    "things/peripherals] are [hanging off/connected to/on] [this hub/this computer/the front ports]|[my/the] "
    "{gadget} on [the hub/usb]: [brand/model/vendor/product name]|[is/was] there a {gadget} on [any/one of the] usb "
    "port[s/]|[the thing/the gadget/whatever I put] in [the front socket/the USB-C socket/port {number}], what is "
    "it|product and [vendor/maker] of the [low speed/high speed/full speed] usb device|name that {gadget}",
    "IDENTIFY_PLATFORM": "[what/which] [processor/cpu/chip] [do I have/is in this box/powers this machine/is "
    "this]|how many [cores/threads/cpus/sockets] [has this machine/are there/do I have/does it "
    "have]|[model/brand/name] of the [mainboard/motherboard/processor/cpu/system board]|[which/what] "
    "[bios/uefi/firmware] [version/release/date] is [this/running/on the board]|is this [a virtual machine/bare "
    "metal/a container/real hardware/a laptop]|[am I/are we] [running in/inside] [qemu/kvm/vmware/a "
    "hypervisor]|[does/is] the [cpu/processor/chip] [support virtualisation/64 bit/an AMD one/an Intel one/made by "
    "ARM]|[serial number/manufacturer/product name] of [this computer/this laptop/the server/the "
    "system]|[what/which] [board/single board computer/SoC] is [this/it]|[describe/identify/show] the "
    "[platform/chipset/mainboard/processor/on-board devices/SoC]|[which/what] architecture is [this/the cpu/the "
    "machine]|[clock speed/cache size/stepping/flags] of the [processor/cpu]|[devices/peripherals] that are "
    "[neither pci nor usb/soldered on/described by ACPI/in the device tree]|[list/show] the "
    "[acpi/i2c/platform/on-chip] devices|what [computer/machine/kind of machine] is this|vendor and [model/version] "
    "of [the laptop/this system/the firmware]",
    "DRV_SELECT": "[which/what] [driver/module/kernel module] [does/would] [the/my/this] {device} "
    "[need/want/use/take]|[choose/pick/select/find/recommend/suggest] [a/the/the right/a suitable] "
    "[driver/module/kernel module] for [my/the/this] {device}|[my/the] {device} has no [driver/module][, find one/, "
    "which one fits/; pick one/]|what [do I/should I/must I] [modprobe/load/insmod] for [my/the/a] "
    "{device}|[modprobe/insmod/insert/load] {module}|[is/was/has] {module} [loaded/inserted/in the kernel/active][ "
    "already/ yet/]|[get/make] [my/the] {device} [working/going/running/alive] [with a driver/with the right "
    "module/, which module/]|[which/what] [.ko/.ko file/module file/ko] [is for/belongs to/handles/supports/drives] "
    "[the/my] {device}|[driver/module] for [class {code}/the {device}/a {device}]|the {device} is not "
    "[claimed/bound/driven] by any [driver/module]|[bind/attach] a driver to [the/my] {device}|[does linux/does the "
    "kernel] [support/have a driver for/have a module for] [my/this/the] {device}|[no driver/no module] [is bound "
    "to/is loaded for/was found for] the {device}|a device of class {code} needs [a driver/a module/its driver]|the "
    "[best/proper/correct/matching] [driver/module] for [this/my] {device}|[who/which driver/what module] "
    "[handles/controls/claims/owns] the {device}|load whatever [drives/supports/runs] [my/the] {device}",
    "DRV_CONFIGURE": "[set/change/tune/adjust/configure] [the option/the parameter/the setting/] {param} "
    "[of/in/for] {module}[ to {value}/]|[pass/give/hand] {param}={value} to [the driver/the module/] "
    "{module}|[blacklist/block/ban/forbid/never autoload/disable] [the module/the driver/module/driver] "
    "{module}|[which/what] [options/parameters/settings/knobs/tunables] [does/has] {module} "
    "[have/accept/take/offer/]|[make/keep] {param}={value} [permanent/persistent] [for/in] {module}|{module} should "
    "[be loaded with/start with/always use/get] {param} {value}|[I want/I would like/I need] {param} of {module} "
    "[at/to be/changed to/set to] {value}|[turn/switch] {param} [on/off] [in/for] [the driver/the module/] "
    "{module}|{module} must [not be loaded/stay unloaded/be kept out/never come up]|[describe/explain/list/print] "
    "the [module parameters/driver options/options] of {module}|module [options/parameters] for {module} [across "
    "reboots/at boot/in modprobe.d]|[options/modprobe.d entry/modprobe config] for {module}|[driver/module] "
    "{module}: {param} = {value}|prevent {module} from [loading/being loaded/autoloading]|[what is/current value "
    "of/read] {param} of [the module/] {module}|[raise/lower/reduce/increase] {param} [of/in] the {module} "
    "[driver/module] to {value}",
    "DRV_FALLBACK": "{driver} [fails/failed/does not work/is broken/crashes/hangs/times out/oopses][, what else/, "
    "what now/; another one/, next candidate/]|[another/an alternative/a different/a second/the next best] "
    "[driver/module/choice] [than/to/instead of/besides/after] "
    "{driver}|[fallback/alternative/substitute/replacement/plan B] for {driver}|[what/which driver] [else/other] "
    "[can I use/could I try/is possible/is there] [if not {driver}/because {driver} fails/when {driver} does not "
    "bind]|[give up on/stop using/drop/forget] {driver} and [use/try/take] [another driver/another "
    "module/{other}/something else]|[swap/exchange/replace/switch] {driver} [for/with/by/to] {other}|{driver} "
    "[returned an error/probe failed/returned -5/could not be loaded/was rejected/refused the device][, next one/, "
    "try another/, fall back/; what comes after it/]|[probe of/loading] {driver} [failed/gave an error/went "
    "wrong][, which driver next/, alternatives/]|[I tried/we tried] {driver} [without success/and it did not "
    "work/and the box hung][, what else/, something else/]|{driver} [is no good/is useless here/does not do "
    "it/won't bind], [try another/suggest another/next]|[second/backup/next] [choice/driver/module] [after/behind] "
    "{driver}|fall back from {driver}|[would/does/could] {other} [work/do] [instead/in place] of {driver}",
    "PARTITION_DISK": "[partition/split/divide/slice/repartition/cut up] {disk}[ into {number} parts/ in two/ into "
    "root and home/ for a new system/]|[make/create/add/cut] [a/another/one more/a new] [partition/slice/volume] "
    "[of {size}/] on {disk}|[delete/drop/remove/erase] [the/all/the last] partition[s/] [on/of/from] "
    "{disk}|[new/fresh/empty/gpt/msdos] [partition table/disk label/disklabel] [on/for] {disk}|{disk} [has no "
    "partitions/is unpartitioned/is empty/is raw][, lay it out/, set it up/, divide "
    "it/]|[resize/shrink/grow/enlarge/extend] the [first/last/second/root] partition [of/on] {disk}[ to {size}/ by "
    "{size}/]|[set aside/allocate/leave/reserve] {size} [on/of] {disk} for [swap/root/the boot "
    "loader/home/data]|[convert/change/switch] {disk} [from mbr to gpt/to gpt/from gpt to mbr]|[print/show/list] "
    "the [partition table/layout/partitions] of {disk}|[lay out/prepare/set up] {disk} [with an efi partition/for "
    "installation/with {number} partitions/with a boot partition]|[run/use/start] [fdisk/parted/gdisk/sfdisk] on "
    "{disk}|{disk} should [have/get/be given] [an efi system partition/two partitions/a {size} partition/a boot "
    "slice]|[wipe/clear] the partition table of {disk}|[mark/flag] partition 1 of {disk} [bootable/as efi/as "
    "active]|[use/give] [the whole/half of] {disk} [to/for] [one partition/linux/a partition]",
    "FORMAT_FS": "[format/reformat/initialise/prepare] {part} [as/with/to/using] {fs}|[make/create/put/write/build] "
    "[a/an/a new/an empty/a clean] {fs} [filesystem/file system/] [on/onto/in] {part}|mkfs [{fs} on/for/on] "
    "{part}|[erase/wipe/clean] {part} and [make it/format it/turn it into] {fs}|{part} [needs/should get/should "
    "be/must be/shall be] [formatted/{fs}/an {fs} file system/a file system]|[make/turn/use] {part} [swap/into "
    "swap/as a swap area/swap space]|[change/convert/switch] the [file system/filesystem] [of/on] {part} to "
    "{fs}|[which/what] [file system/filesystem/fs type] [does {part} have/is on {part}/is used on "
    "{part}]|[label/name/relabel] the [file system/volume/{fs}] [on/of] {part}|[uuid/label/type] of [the file "
    "system on/] {part}|format [the stick/the usb stick/the card/the new drive], it is {part}|{fs} on {part}|[set "
    "up/lay] {fs} on {part}|[empty/blank/quick format] {part}, {fs}|[I want/I need/please give me] {fs} on "
    "{part}|[is {part}/has {part} been] formatted|[create/set up] a swap [area/partition/space] on {part}",
    "MOUNT_FS": "[mount/attach/hook up/bring up/open] {part} [at/on/under/to/in] "
    "{point}|[unmount/umount/detach/eject/release/disconnect] [{point}/{part}/the volume at "
    "{point}]|[make/have/get] {part} [available/accessible/visible/readable] [at/under/in/below] "
    "{point}|[automatically mount/automount/always mount] {part} [at boot/at startup/on {point}]|[add/put/write] "
    "{part} [to/into/in] [fstab/the fstab/the mount table]|[remount/mount] {point} [read only/ro/rw/writable/with "
    "noexec/without atime]|[I want to/let me/how do I] [see/read/get at/access/reach] [the files/what is/the data] "
    "on {part} [in/under/at] {point}|{point} should [show/hold/point at/contain] [what is on/the contents of/the "
    "files of] {part}|{part} belongs [at/under/on] {point}|[what is/which device is/is anything] mounted [at/on] "
    "{point}|[fstab line/fstab entry/mount unit] for {part}[ on {point}/]|[mount/attach] the [usb stick/nfs "
    "share/iso image/external disk] [at/on/under] {point}|[safely/] [remove/take out/pull] [the disk/the stick/the "
    "drive] at {point}|[after/at/on] every [reboot/boot/start] {part} [must be/should be/has to be] [at/on/under] "
    "{point}|[list/show] [all mounts/mounted file systems/mount points]|write protect {point}|[bind/move] {point} "
    "to {point}",
    "NETWORK_CONFIG": "[set/assign/give/configure/put] [the ip/the address/ip/] {address} [on/to/for] [the "
    "interface/the card/] {iface}|{iface} [needs/should have/must get/gets/takes/shall have] [the address "
    "{address}/{address}/a static address/an address by dhcp/a fixed ip]|[use/enable/run/switch to] dhcp [on/for] "
    "{iface}|[default/] [gateway/route/router] [is/to/via/should be/=] {gateway}|[dns/nameserver/name "
    "server/resolver] [is/should be/=/to] {nameserver}[ on {iface}/]|[bring/turn/switch/take] [the link/the "
    "interface/] {iface} [up/down/on/off]|[enable/disable/activate/deactivate/raise] [the interface/the link/] "
    "{iface}|[set/change/lower/raise] the mtu [of {iface}/on {iface}/] to {mtu}|[send/route] [all/the rest of "
    "the/outgoing] traffic [through/over/via/by] {gateway}|[connect/join/attach] {iface} to [the wifi/the wireless "
    "network/a vlan/the bridge]|[set up/configure] [the network/networking/a network/wifi/ethernet] [on "
    "{iface}/with {address}/]|[add/delete/replace] a [route/static route/default route] [via/through] "
    "{gateway}|[resolve/look up] names [with/through/at] {nameserver}|static [ip/address] {address}[ gateway "
    "{gateway}/ on {iface}/]|[obtain/request/renew/get] [a lease/an address/an ip] [for/on] "
    "{iface}|[change/replace] the [ip/address/dns/gateway] of {iface}|[make/set up] a [bridge/bond/vlan/tunnel] "
    "[with/on/over] {iface}|[which/what] [address/ip] does {iface} have",
    "HOSTNAME_SET": "[set/change/make] [the/my/this machine's/our] [hostname/host name/computer name/machine name] "
    "[to/into/=] {host}|[rename/call/name/baptise] [this/the/my] [machine/computer/box/server/host/system/node] "
    "[to/] {host}|[this/the] [machine/computer/box/server/host/node] [is/shall be/should be/will be/is now] "
    "[called/named/known as] {host}|[new/] hostname[:/ is/] {host}|[I want/I would like] [this machine/the box/it] "
    "to be [called/named/known as] {host}|[its/the] name [should be/is/becomes/will be] {host}|hostnamectl "
    "{host}|[the name/the hostname] [localhost/debian/{host}] is [wrong/ugly/a default], [make it/use/change it to] "
    "{host}|[on the network/in the prompt/from now on/henceforth] [it/this machine/the host] [is/shows as/is known "
    "as] {host}|[write/store] {host} [as the hostname/in the hostname file]|[what/which] [hostname/name] does this "
    "machine [have/carry]|[switch/update] the [system/host/network] name to {host}|{host} is [the new name/what "
    "this machine is called/our name for this box]|identify [this box/yourself] as {host} on the network",
    "PKG_SEARCH": "[which/what] [package/software/program] [contains/has/provides/ships/brings/offers] "
    "[{file}/{purpose}/the command {word}]|[search/look/hunt] [the archive/the repositories/the packages/] for "
    "[{purpose}/{word}/something like {package}]|[find/suggest/recommend] [me/] [a package/software/a program/an "
    "application] [for {word}/that is {purpose}/like {package}]|[is/was] {package} [packaged/available/in the "
    "repositories/in debian/in the archive]|[what/which version of] [version of/] {package} [is there/is "
    "available/is the newest/is offered]|[where does/which package does] {file} [come from/belong to]|[who/which "
    "package] [owns/installed/ships/put] {file}|[describe/show details of/information about/what is] the package "
    "{package}|[is there/do you know/do we have] [{purpose}/anything for {word}/something for {word}/a tool for "
    "{word}]|[list/show] [packages/programs/software] [about/for/related to/with] {word}|[what/which] "
    "[dependencies/files] does [the package/] {package} [have/contain/need]|[candidates/options/choices] for "
    "{purpose}|[looking for/I am after/need to find] {purpose}|apt [search/show/policy] {word}|[what/which] "
    "[tools/apps] [exist/are there] for {word}|[compare/name] [some/a few] packages for {word}",
    "PKG_INSTALL": "[install/get/add/fetch/set up/put] [the package/the program/] {package}[ on this machine/ for "
    "me/ here/]|[I need/I want/I would like/we need/give me/I'd like to have] {package}[ on this box/ "
    "installed/]|[download and install/pull in/bring in/grab] {package}|{package} is [missing/not installed/not "
    "there/needed][, get it/, add it/]|[let me/I want to] [use/run/have] {package}[, it is not here yet/]|apt "
    "install {package}|[reinstall/install again/repair the installation of] {package}|[install/get/add] "
    "{purpose}|[make sure/ensure] [that/] {package} is [installed/present/there]|[put/have] {package} [on/onto] "
    "[this system/the server/my laptop]|[command not found/no such command]: {package}|[can I/could we] [have/get] "
    "{package}[ here/ on this host/]|[deploy/provision] {package}|install [these packages/the deb file/the package] "
    "[{package} and {package}/I downloaded/{package} from backports]|this [box/machine/computer/host] "
    "[lacks/needs/is missing/should have] {package}|[unpack/load/obtain] {package} from the "
    "[repository/archive/mirror]",
    "PKG_REMOVE": "[remove/uninstall/delete/purge/deinstall/kick out/throw away] [the package/the program/] "
    "{package}[ and its settings/ completely/ from this machine/]|[get rid of/dispose of/clean out/strip] "
    "{package}|[I do not need/I don't want/nobody needs/we no longer use/I never use] {package}[ any more/, remove "
    "it/ here/]|{package} [is not needed/is useless/should be gone/must go/is no longer wanted/takes too much "
    "room]|[take/have] {package} [away/removed/uninstalled]|apt [remove/purge/autoremove] [{package}/]|[clean "
    "up/remove/delete] [unused packages/orphans/unneeded dependencies/packages nobody needs/leftovers of "
    "{package}]|[undo/revert] the installation of {package}|[make/leave] [this system/the server] without "
    "{package}|[free space/save room] by [removing/uninstalling] {package}|[remove/delete] {package} [together "
    "with/including] its [configuration/config files/data]|[drop/scrap/ditch/eliminate] {package}|[old "
    "kernels/obsolete libraries/unused software] [should go/can be deleted/take up space, remove them]",
    "PKG_UPDATE": "[update/upgrade/refresh/patch] [everything/the system/all packages/all software/the "
    "packages/this machine]|[update/upgrade] {package}[ to the latest version/ to the newest "
    "release/]|[install/apply/get/fetch] [the latest/all/pending/new/security] "
    "[updates/patches/fixes/upgrades]|[are there/any/do we have] [updates/security fixes/new versions/upgrades] "
    "[available/pending/for {package}/]|{package} is [outdated/old/out of date/too old/behind][, update it/, get "
    "the new one/]|[bring/get] [{package}/the system/everything] [up to date/to the newest "
    "version/current]|[hold/pin/freeze/keep back] {package} [at its version/]|[do not/never] [upgrade/update] "
    "{package}|[move/go/upgrade] to the next [release/version] of [debian/the distribution/{package}]|[when/how "
    "long ago] was [this system/the machine] [updated/patched]|[refresh/update] the package "
    "[index/lists/database]|apt [update/upgrade/full-upgrade/dist-upgrade]|[newest/latest/current] version of "
    "{package}[, upgrade to it/ please install it]|[keep/make] [this box/the server] [patched/current/up to "
    "date]|[turn on/enable] automatic [updates/upgrades]|[unpin/unhold/release the hold on] {package}",
    "SVC_START": "[start/launch/run/boot/activate/bring up/spin up] [the service/the daemon/] {service}[ again/ "
    "now/]|[restart/reload/relaunch/reboot] [the service/the daemon/] {service}|[enable/activate] {service} [at "
    "boot/at startup/on every boot/permanently]|{service} [is down/is not running/is stopped/is dead/is off][, "
    "start it/, bring it back/, get it up/]|[turn/switch] {service} [on/back on]|[make/have/let] {service} "
    "[start/run/come up] [at boot/now/by itself/automatically]|[I need/I want/we need] {service} "
    "[running/up/started/online]|systemctl [start/restart/enable] {service}|{service} should [run/be running/be "
    "up/start at boot]|[reload/reread] the [configuration/config/settings] of {service}|[get/put] {service} "
    "[running/online/back up/into operation]|[resume/unmask/revive] {service}|[begin/begin running] the {service} "
    "[service/daemon]|[after/since] the [config change/update] {service} must be [restarted/reloaded/started "
    "again]|{service} has to [come back/start with the machine/be started]|[wake/set] {service} [up/going]",
    "SVC_STOP": "[stop/halt/end/kill/terminate/shut down/deactivate] [the service/the daemon/] {service}[ now/ at "
    "once/]|[disable/mask] {service}[ at boot/ permanently/ for good/]|{service} [should/must/shall] [stop/not "
    "run/be stopped/be off/no longer start]|[turn/switch] {service} off|[do not/never] [start/run] {service} "
    "[again/at boot/any more]|[I do not want/we do not need/nobody needs] {service} [running/to run/up]|systemctl "
    "[stop/disable/mask] {service}|[take/bring/shut] {service} [down/offline]|[prevent/keep] {service} from "
    "[starting/running/coming up]|[close/suspend/cease] [the/] {service} [service/daemon/]|{service} [is running "
    "but should not/is still running, stop it/wastes resources, stop it/annoys me, switch it off]|[make/have] "
    "{service} [stop/exit/go away]|[end/finish] the {service} [process/daemon]|no {service} [on this machine/here] "
    "any more|[temporarily/for now] [stop/disable] {service}",
    "SVC_STATUS": "is [the service/the daemon/] {service} "
    "[up/running/active/alive/ok/healthy/started/on]|[status/state/health] of [the service/] "
    "{service}|[check/verify/see/tell me] [if/whether] {service} is [running/up/active/working/ok]|[how is/what "
    "about/what is up with] {service}[ doing/]|[did/has] {service} "
    "[fail/failed/crashed/died/stopped/started]|[which/what/any] [services/units/daemons] [failed/are running/are "
    "down/are dead/have failed]|[list/show] [running/failed/all/active] [services/units/daemons]|[is/will] "
    "{service} [enabled/start at boot/enabled at boot/start automatically]|systemctl "
    "[status/is-active/is-enabled/list-units] [{service}/]|[since when/how long] [is/has] {service} [running/been "
    "up/been active]|{service}: [running or not/up or down/on or off/alive]|[show/report] [the state/the status] of "
    "[all services/{service}]|[does/is] {service} still [run/work/respond/running]|[in what/which] state is "
    "{service}|[does/will] {service} come back after a reboot|[pid/uptime/main process] of {service}",
    "RESOURCE_QUERY": "how much [memory/ram/disk space/space/swap/room] is [free/used/left/available/in use]|how "
    "[full/big/large] is [{point}/the disk/the root partition]|[free/used/available/remaining] "
    "[space/room/gigabytes] [on/in/under] {point}|[cpu/processor/memory/disk/ram/swap] "
    "[usage/load/consumption/utilisation][ right now/ at the moment/]|[which/what] [processes/programs/tasks/jobs] "
    "[use/eat/take/consume/need] [the most/most of the] [cpu/memory/ram/processor time]|[show/list/print] the "
    "[top/biggest/busiest/hungriest] {number} [processes/tasks/programs]|[what is/show] the [load/load "
    "average/uptime/system load]|[how long/since when] has [this machine/the system] been "
    "[up/running/on]|[biggest/largest/fattest] [files/directories/folders] [in/under/below] {point}|[who/what] is "
    "[using/filling/eating] [the cpu/all the memory/{point}/the disk/my ram]|[is there/do we have] [enough/any] "
    "[memory/space/swap] [left/free/on {point}]|[disk/memory] "
    "[statistics/report/summary/overview]|[percent/percentage/share] of [{point}/memory/swap/the cpu] [used/free/in "
    "use]|how [busy/loaded/idle] is [the cpu/the machine/this server]|[size/usage] of "
    "{point}|[top/htop/free/df/uptime]|[inodes/blocks] [left/used] [on/in] {point}|total [memory/ram/disk space] "
    "[of this machine/installed/]|[temperature/frequency] of the cpu",
    "LOG_QUERY": "[show/print/read/display/give me/open] the [log/logs/journal/log file/messages] [of/for/from] "
    "{service}|[last/newest/latest/most recent] {number} [lines/messages/entries] [of/from/by/in] [{service}/the "
    "journal/the kernel log/syslog/dmesg]|what did [{service}/the kernel/the system] [log/say/write/report/print][ "
    "since {time}/ today/ at boot/]|[errors/warnings/messages/entries] [of/from/by] {service} [since {time}/in the "
    "log/today/]|[follow/tail/watch/stream] the [log/journal/messages] [of/for] [{service}/the "
    "kernel]|[search/grep/look through/dig through] the [log/logs/journal/syslog] for "
    "[errors/{service}/warnings]|[kernel/boot/system] [log/messages/ring buffer/journal]|[errors/warnings] "
    "[logged/recorded/noted] [since boot/since {time}/this boot/last night]|[what/which] [errors/messages] "
    "[are/were] [in the log/in the journal/logged since {time}]|[dmesg/journalctl]|[show/list] [what "
    "happened/everything logged/all messages] since {time}|[log/journal] [entries/lines/output] [of/about] "
    "{service}|[messages/output] of the [previous/last/current] boot|[did/does] {service} [log/write/record] "
    "[anything/something/errors][ since {time}/]|[where are/find] the logs of {service}|the [journal/log], [newest "
    "first/last {number} lines/errors only]",
    "DIAG_NETWORK": "[no internet/no network/no connection/network is down/offline][ on "
    "{iface}/]|[cannot/can't/unable to] [reach/ping/connect to/open/contact] {target}[ from here/ over "
    "{iface}/]|{target} [is unreachable/does not answer/times out/cannot be found/refuses connections/is not "
    "responding]|[dns/name resolution/resolving names] [fails/does not work/is broken/is slow]|[the network/the "
    "connection/{iface}/wifi/the link] [is slow/keeps dropping/drops out/is unstable/does not work/is broken/goes "
    "up and down]|[packet loss/packets are lost/high latency/lost packets] [on/to/towards] "
    "[{iface}/{target}]|[why/how come] [can I not/can't I] [reach/ping/see] {target}|[ping/traceroute/test the "
    "connection to/test] {target}|{iface} [has no address/gets no address/has no carrier/has no link/shows "
    "errors]|[no carrier/no link/link down] on {iface}|[browser/pages/downloads/ssh] [does not/do not/cannot] "
    "[load/connect/reach anything/get through]|[diagnose/debug/troubleshoot/fix/check] [the network/the "
    "connection/networking/{iface}/wifi]|[which/what] [port/ports] [is/are] [open/blocked/listening/in "
    "use]|[connection/session] to {target} [drops/hangs/resets/is refused]|dhcp [fails/gives no lease/times out] on "
    "{iface}|the [cable/switch/router/access point] [seems broken/is connected but nothing works]|[address "
    "works/numbers work], [names don't/name does not]|{iface} runs at [100 Mbit/half duplex/a tenth of its speed]",
    "DIAG_STORAGE": "[i/o errors/read errors/write errors/bad sectors/bad blocks/crc errors] on "
    "[{disk}/{part}]|{disk} [is failing/is dying/is slow/makes noise/clicks/hangs/disappears/is not "
    "detected/reports errors]|[cannot/can't/unable to] [write to/read from/save to/mount/unmount/open] "
    "[{point}/{part}/{disk}]|[no space left/disk full/out of space/file system full] [on {point}/in {point}/]|[file "
    "system/filesystem/{fs}] on {part} is [corrupt/damaged/broken/inconsistent/read "
    "only]|[check/repair/fsck/fix/test] [{part}/the file system on {part}/the disk "
    "{disk}]|[smart/health/wear/lifetime] [status/data/values/test/] of {disk}|files on [{part}/{point}] are "
    "[damaged/corrupt/gone/unreadable/lost]|[superblock/journal/inode table/partition] [of/on] {part} is "
    "[bad/broken/unreadable]|[is/will] {disk} [broken/healthy/failing/fail soon/ok]|[raid/array/md0] [is "
    "degraded/lost a disk/does not assemble/is rebuilding]|{point} [is busy/became read only/suddenly is "
    "read-only/cannot be unmounted]|[disk/storage/drive] [problem/trouble/error/failure][ on "
    "{disk}/]|[copying/reading/writing] [from/to] {disk} [stalls/is very "
    "slow/fails]|[pending/uncorrectable/reallocated] sectors on {disk}|[data loss/lost files/input output error] on "
    "{part}|[the drive/the ssd/the hard disk] [is going bad/has errors/sounds strange]",
    "DIAG_MEMORY": "[out of memory/oom/memory exhausted/ran out of ram]|{service} [leaks memory/eats memory/uses "
    "more and more ram/was killed by oom/grows without end/needs too much memory]|[memory leak/leak] in "
    "{service}|[the kernel/oom killer] [killed/keeps killing] {service}|[ram/memory/a dimm/a memory module] [is "
    "faulty/is defective/is bad/seems broken/has errors]|[programs/applications/builds] [crash/segfault/die] "
    "[randomly/at random/now and then]|[the machine/the system/everything] [swaps/is swapping/thrashes][ all the "
    "time/ like mad/ heavily/]|[swap is full/swap keeps growing/too much swapping]|[cannot allocate memory/page "
    "allocation failure/malloc failed][ in {service}/]|[test/check/verify] [the ram/the memory/memory "
    "modules]|[ecc/edac/memory] errors [reported/logged/counted/]|[where did/why is] [my memory/all the ram/half "
    "the ram] [go/gone/missing]|[memory/ram] [fills up/is always full/runs out/disappears] [after a "
    "while/overnight/]|[bit flips/corrupted memory/single bit errors]|[who/what] [leaked/exhausted] the memory|[not "
    "enough/too little] memory for {service}, it [dies/is killed]|[less/only half] of the installed [ram/memory] is "
    "[seen/detected/usable]",
    "DIAG_GENERAL": "[something is/things are] [wrong/broken/strange/off][, help/, please check/]|[the machine/the "
    "computer/the system/my laptop/the server] [crashes/freezes/hangs/reboots/locks up/is slow/overheats/does not "
    "boot/won't start][ randomly/ every day/ by itself/]|[kernel panic/kernel oops/blue screen/black screen/general "
    "protection fault][ at boot/ on shutdown/]|{service} [keeps crashing/fails to start/does not start/exits at "
    "once/dies/crashed/aborts][, why/, find out why/]|[why/how come] [is the system/is everything/is this "
    "computer/is my machine] [so slow/slow/unresponsive/hot/loud]|[boot/startup/booting/shutdown] [takes forever/is "
    "slow/hangs/gets stuck/fails]|[diagnose/troubleshoot/debug/investigate] [this/the problem/the machine/my "
    "system/the crash]|[it/everything/the desktop] [stopped working/does not work/broke] [after the update/since "
    "yesterday/today/]|[no picture/no sound/screen stays black/keyboard is dead/mouse does not "
    "move]|[unexpected/spontaneous/random] [reboot/restart/shutdown/crash]es|[help, /]nothing works [any "
    "more/]|[what/who] [caused/is the reason for] the [crash/reboot/hang/freeze]|[fan/temperature] [is loud/is too "
    "high/runs at full speed]|[watchdog/hung task/soft lockup/segfault] [message/reported/in the "
    "kernel]|[clock/time/date] is [wrong/drifting]|[login/suspend/resume/the graphical session] [fails/hangs/does "
    "not work]|{service} [returns/exits with/ends with] [an error/status 1/code 2]",
}  # fmt: skip


def wordings() -> Iterator[tuple[str, str]]:
    """Yield every template with its sub-command."""
    return ((sub, template) for sub, found in _TEMPLATES.items() for template in found.split("|"))


def worded_items(count: int, seed: int) -> Iterator[tuple[Split, Item]]:
    """Yield items on at most ``count`` phrases, as many of each sub-command, with their splits.

    Each phrase is asked for its intent and its sub-command. Of every sub-command's templates a tenth, chosen by a hash,
    is for validation, and one at the least.
    """
    for sub, found in _TEMPLATES.items():
        rng = random.Random(f"{seed}:{sub}")
        choices = found.split("|")
        held = _held_out(choices)
        seen: set[str] = set()
        misses = 0
        while len(seen) < count // len(_TEMPLATES) and misses < _PATIENCE:
            template = rng.choice(choices)
            phrase = worded(template, rng)
            misses = misses + 1 if phrase in seen else 0
            if phrase not in seen:
                seen.add(phrase)
                for item in both(phrase, sub, None):
                    yield "val" if template in held else "train", item


def worded(template: str, rng: random.Random) -> str:
    """Choose a template's alternatives, fill its fields, and write the phrase as people type."""
    chosen = _CHOICE.sub(lambda found: rng.choice(found[1].split("/")), template)
    filled = chosen.format_map(values_for(chosen, rng))
    phrase = rng.choice(_BEFORE) + filled + rng.choice(_BEHIND)
    if rng.random() >= _BARE:
        phrase += "?" if _ASKS.match(filled) else rng.choice(_MARKS)
    if rng.random() >= _LOWER:
        phrase = phrase[:1].upper() + phrase[1:]
    return clean_text(" ".join(phrase.split()))  # an empty alternative leaves two spaces


def _held_out(templates: Sequence[str]) -> set[str]:
    mixed = sorted(templates, key=lambda template: hashlib.sha256(template.encode()).digest())
    return set(mixed[: max(1, round(len(mixed) / 10))])
