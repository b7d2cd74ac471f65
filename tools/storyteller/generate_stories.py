#!/usr/bin/env python3
"""Writes short English stories from a grammar, for training and testing a very small language model.

    generate_stories.py --split train --stories 40000 --out build/train.txt
    generate_stories.py --split calibration --stories 200 --out calibration.txt
    generate_stories.py --split evaluation --stories 80 --out evaluation.txt

Everything is chosen by a seeded generator, so the same command writes the same file on every machine.

A story is told by one of a dozen plots.  A plot first casts people, a place and an object, then strings
together sentences from the pools below.  Notation inside the pools:

    [a|b|c]   one of them, picked at random; may be nested; [a|] is "a" or nothing
    {h}       the hero's name; {h.he} {h.him} {h.his} {h.self} agree with the hero; {h.kind} is what the hero is
    {f} {e}   the friend and the elder, in the same way
    {o}       the story's object, "the red lantern"; {o.a} "a red lantern"; {o.n} "lantern"
    {p}       the place, "the orchard"; {p.at} "in the orchard"; {p.to} "to the orchard"

"a" becomes "an" where it must, and sentences get their capital letters, at the very end.

The splits never share a story.  Their random seeds are disjoint, and the triple (hero, object, place) decides by
its hash whether a story belongs to the evaluation: a tenth of all triples appears there and nowhere else.

File format: each story is followed by <|endoftext|> and a newline.  Paragraphs inside a story are lines.
"""
import argparse
import random
import re
import sys
import zlib

END = "<|endoftext|>"

# ---------------------------------------------------------------------------------------------- people and things

GIRLS = "Mara Lily Tess Nora Ivy Clara Hazel Ruby Anna June Wren Elsie Poppy Greta Sana Rosa Mina Freya Dora Alma".split()
BOYS = "Tom Ben Oskar Felix Hugo Sam Leo Jonas Emil Finn Arlo Noah Milo Peter Karim Otto Ravi Theo Max Luka".split()
SHE_ANIMALS = [("Bramble", "hedgehog"), ("Velvet", "mole"), ("Sorrel", "fox"), ("Penny", "squirrel"), ("Olive", "otter"),
               ("Daisy", "goat"), ("Willa", "mouse"), ("Maple", "hare"), ("Dot", "wren"), ("Juniper", "badger")]
HE_ANIMALS = [("Rusty", "fox"), ("Thistle", "hare"), ("Biscuit", "dog"), ("Pip", "mouse"), ("Bruno", "bear"),
              ("Rollo", "otter"), ("Acorn", "squirrel"), ("Flint", "badger"), ("Quill", "hedgehog"), ("Barley", "donkey")]
ELDERS = [("Grandmother Ada", "she"), ("Grandfather Elias", "he"), ("Aunt Beryl", "she"), ("Uncle Anton", "he"),
          ("the old miller", "he"), ("the baker", "she"), ("the ferryman", "he"), ("the lighthouse keeper", "she"),
          ("the old tortoise", "he"), ("the grey heron", "she"), ("the shepherd", "he"), ("the schoolteacher", "she"),
          ("the blacksmith", "he"), ("the beekeeper", "she"), ("the night watchman", "he"), ("the old owl", "she")]

# trait: how it shows
TRAITS = {
    "curious": "asked more questions in a day than [the village clock had ticks|there were birds on the fence]",
    "shy": "[spoke so softly that people had to lean in|hid behind the nearest tree when strangers came]",
    "brave": "[was not afraid of thunder, or geese, or the dark|always went first across the stream]",
    "impatient": "[could not wait for anything, not even for soup to cool|tapped one foot whenever things were slow]",
    "kind": "[never passed a fallen nest without looking up to find its branch|shared every last crumb]",
    "forgetful": "[often forgot why the door had been opened|could lose one thing while looking for another]",
    "proud": "[did not like to ask for help|told everyone about even the smallest success]",
    "careful": "[counted everything twice|tied every knot two times, just to be sure]",
    "stubborn": "[never turned back once a journey had begun|would rather push a door all day than pull it once]",
    "cheerful": "[whistled while washing the dishes|could find something good to say about mud]",
    "clumsy": "[tripped over roots, steps and even shadows|dropped things that nobody else could drop]",
    "quiet": "[liked listening better than talking|noticed what louder people missed]",
    "lazy": "[could sleep through a brass band|always found a reason to sit down]",
    "clever": "[could fix a clock with a spoon|saw the answer while others were still reading the question]",
    "gentle": "[carried spiders out of the house in cupped hands|spoke kindly even to wasps]",
    "restless": "[could not sit still for the length of a song|climbed whatever could be climbed]",
}

# place: (preposition, what one saw or heard there)
PLACES = {
    "orchard": ("in", "the apples shone like little lamps|bees hummed between the trunks|the grass was soft and full of fallen fruit"),
    "harbour": ("at", "ropes creaked and gulls cried|the boats knocked gently against the wall|the air tasted of salt"),
    "old mill": ("at", "the wheel turned slowly in the stream|flour dust danced in the light|the stones rumbled all day long"),
    "market": ("at", "people called out the price of plums|there were rows of baskets and bright cloth|somebody was playing a fiddle"),
    "pine forest": ("in", "the needles made every step silent|it smelled of resin and rain|the light fell in long thin stripes"),
    "meadow": ("in", "crickets sang in the tall grass|poppies nodded in the wind|a stream ran through the middle of it"),
    "hill": ("on", "one could see three villages and a piece of the sea|the wind never stopped|a single thorn tree stood at the top"),
    "library": ("in", "the shelves reached up to the ceiling|every page seemed to whisper|a clock ticked behind the desk"),
    "village square": ("in", "the fountain splashed and pigeons walked about|children drew with chalk on the stones|the bell struck every hour"),
    "beach": ("on", "the waves wrote lines in the sand and wiped them away|shells lay in long rows|the tide was going out"),
    "barn": ("in", "swallows flew in and out of the roof|the hay was warm and dusty|an old cart slept in the corner"),
    "lighthouse": ("at", "the lamp turned round and round|a hundred steps led to the top|the sea beat on the rocks below"),
    "railway station": ("at", "a whistle sounded far away|suitcases stood in a line|the big clock had only one hand"),
    "garden": ("in", "beans climbed up their poles|a snail crossed the path as slowly as an afternoon|the roses were heavy with rain"),
    "marsh": ("in", "frogs sang from every pool|the reeds whispered to each other|mist lay low over the water"),
    "quarry": ("in", "every word came back as an echo|the stones were warm from the sun|lizards darted between the rocks"),
    "castle ruin": ("at", "ivy covered the broken walls|jackdaws nested in the tower|a stairway led up to nothing at all"),
    "bakery": ("in", "the ovens glowed and the windows were white with steam|there were loaves on every shelf|it smelled of cinnamon"),
    "island": ("on", "a ring of white sand went all the way around|seals slept on the flat stones|there was only one tree"),
    "workshop": ("in", "shavings curled on the floor|tools hung on the wall in order of size|there was a smell of glue and oak"),
    "vineyard": ("in", "the rows ran straight down to the river|the grapes were nearly ripe|wasps buzzed over the baskets"),
    "riverbank": ("on", "willows trailed their fingers in the water|a kingfisher flashed past|the current carried yellow leaves"),
    "mountain pass": ("on", "old snow lay in the shade|goat bells rang somewhere below|the path was no wider than a bed"),
    "snowy field": ("in", "every footprint told a story|the hedges wore white caps|the crows looked blacker than ever"),
    "theatre": ("in", "the curtain was the colour of cherries|dust floated over the empty seats|somebody was practising a speech"),
    "observatory": ("at", "a long brass telescope pointed at the roof|maps of the stars hung on the walls|everybody spoke in whispers"),
    "greenhouse": ("in", "the air was as warm as breath|drops ran down the glass|a lemon tree stood in a blue tub"),
    "crossroads": ("at", "four signs pointed four ways|a stone bench waited for tired people|the dust showed the tracks of many carts"),
}

# object: (which obstacles it overcomes, adjectives)
OBJECTS = {
    "lantern": ("light", "red|brass|rusty|little"), "candle": ("light", "white|stubby|yellow|long"),
    "lamp": ("light", "green|oil|small|silver"), "torch": ("light", "tall|smoky|bright|heavy"),
    "rope": ("tie", "long|thick|grey|knotted"), "ribbon": ("tie", "blue|silk|long|crimson"),
    "belt": ("tie", "leather|wide|brown|strong"), "fishing line": ("tie", "strong|thin|green|tangled"),
    "bell": ("sound", "silver|cracked|copper|tiny"), "drum": ("sound", "round|painted|red|loud"),
    "whistle": ("sound", "tin|wooden|shrill|carved"), "flute": ("sound", "bamboo|silver|slender|old"),
    "horn": ("sound", "curved|brass|hunting|dented"), "loaf of bread": ("food", "warm|round|brown|fresh"),
    "apple": ("food", "red|shiny|sweet|golden"), "honey cake": ("food", "sticky|small|golden|square"),
    "pear": ("food", "yellow|ripe|soft|green"), "piece of cheese": ("food", "large|smelly|yellow|round"),
    "blanket": ("warm", "woollen|patched|striped|blue"), "coat": ("warm", "thick|brown|heavy|winter"),
    "scarf": ("warm", "knitted|orange|long|soft"), "shawl": ("warm", "grey|fringed|warm|lace"),
    "spade": ("dig", "sharp|iron|rusty|short"), "shovel": ("dig", "wide|wooden|new|tin"),
    "compass": ("way", "brass|pocket|scratched|round"), "map": ("way", "folded|torn|yellow|painted"),
    "spyglass": ("way", "brass|long|dented|black"), "key": ("open", "iron|tiny|golden|rusty"),
    "hairpin": ("open", "bent|silver|thin|black"), "umbrella": ("cover", "black|enormous|spotted|green"),
    "hat": ("cover", "wide|straw|felt|purple"), "cloak": ("cover", "green|hooded|oiled|long"),
    "ladder": ("reach", "wooden|wobbly|long|light"), "stool": ("reach", "three-legged|painted|small|sturdy"),
    "pole": ("reach", "bamboo|long|hooked|smooth"), "mirror": ("shine", "round|silver|cracked|hand"),
    "glass marble": ("shine", "blue|clear|large|lucky"), "silver spoon": ("shine", "polished|bent|heavy|little"),
    "plank": ("float", "broad|oak|long|mossy"), "barrel": ("float", "empty|old|round|tarred"),
    "washtub": ("float", "tin|deep|dented|wide"), "hammer": ("fix", "heavy|small|new|claw"),
    "needle": ("fix", "sharp|steel|fine|curved"), "pot of glue": ("fix", "brown|sticky|small|full"),
}

# What stands in the way, and how a thing of the right sort takes it away.  {o} is that thing.
OBSTACLES = {
    "light": [
        ("[Halfway there|Before long|Then], the path went into a tunnel, [and the tunnel was as black as ink|and not one ray of light followed it in].",
         "{h} lit {o} and held it high. [Where there had been only blackness, there were now walls, puddles and a way through|The shadows drew back like shy cats, and the way lay clear].",
         "the tunnel"),
        ("[The only way led through a cave|A cave lay across the way], and from inside came [a slow drip, drip, drip|a cold breath of air].",
         "With {o} in front of {h.him}, {h} [went in step by step|walked into the cave]. [The drip was only water, and the cold breath was only wind|By its light the cave turned out to be short, dry and rather pretty].",
         "the cave"),
        ("[The sun went down sooner than expected|Night came early], and the road [vanished in front of {h.his} feet|could no longer be seen].",
         "Then {h} remembered {o}. [A small yellow circle fell on the road, and one circle at a time {h.he} went on|It gave just enough light for the next step, and the next step was all that {h.he} needed].",
         "the dark road"),
    ],
    "tie": [
        ("[At the stream the bridge was broken|The bridge over the stream had lost its middle], and [two boards hung loose over the water|the gap was too wide to jump].",
         "{h} took {o}, tied the loose boards together and tested the knot [twice|three times]. The bridge [swayed, but it held|groaned, but it did not fall].",
         "the broken bridge"),
        ("[A cart had slid into the ditch|A farmer's cart lay in the mud], and it blocked the whole lane. [The pony could not pull it out alone|\"I have pulled since breakfast,\" said the farmer sadly].",
         "{h} fastened {o} to the axle. [Everyone pulled together|\"One, two, three!\" they all called], and with a [loud smack|long slurp] the cart came free.",
         "the cart in the mud"),
        ("[A small boat had drifted away from the landing|The boat was there, but it was floating out of reach], [and there was no other|and the current was taking it further every minute].",
         "{h} made a loop in {o} and threw it. [The first throw missed, and so did the second, but the third caught the boat by the nose|It fell neatly over the post of the boat], and {h.he} drew it back to the shore.",
         "the drifting boat"),
    ],
    "sound": [
        ("[A thick fog rolled in|Fog came down like a grey curtain], and soon {h} could not see {h.his} own [feet|hands].",
         "So {h} took out {o} and played three notes, then listened, then played three more. [Far away somebody answered|From the left came an answering call], and {h.he} walked towards it until the fog grew thin.",
         "the fog"),
        ("[A flock of geese stood across the lane|Seventeen geese guarded the lane], hissing [at everyone|like kettles].",
         "{h} blew out {h.his} cheeks, lifted {o} and made [the loudest noise of the whole summer|such a noise that the hedges shook]. The geese [forgot to hiss and hurried away|looked at one another and left with great dignity].",
         "the angry geese"),
        ("[The gatekeeper was fast asleep|At the gate sat a gatekeeper, sound asleep], and [no knocking could wake him|he snored like a saw].",
         "At last {h} tried {o}. [At the first sound the gatekeeper opened one eye, at the second he smiled, and at the third he opened the gate|The gatekeeper sat up, said that he had only been resting, and let {h.him} through].",
         "the sleeping gatekeeper"),
    ],
    "food": [
        ("[A large goat stood on the narrow path|In the middle of the path stood a goat] and [would not move for anyone|lowered its horns].",
         "\"You look hungry,\" said {h}, and held out {o}. The goat [sniffed, chewed and stepped politely aside|ate it in two bites and forgot that it was guarding anything].",
         "the goat"),
        ("Under the bridge lived a troll who [let nobody cross without paying|wanted a gift from everyone who crossed].",
         "{h} had no money, only {o}. [\"Nobody has ever given me anything that smelled so good,\" said the troll, and tears ran down his nose|The troll tasted it, closed his eyes and waved {h.him} across].",
         "the troll"),
        ("A stray dog [followed {h.him}, growling|came out of the bushes and showed its teeth]. [Its ribs could be counted|It was very thin].",
         "{h} sat down, broke {o} in two and put one half on the ground. [After a while the growling stopped and the tail began to wag|The dog ate, thought for a moment and then licked {h.his} hand].",
         "the stray dog"),
    ],
    "warm": [
        ("[By the wall lay a lamb, shivering|A small lamb stood alone in the wind], and [its legs would no longer carry it|it was too cold even to cry].",
         "{h} wrapped it in {o} and rubbed its ears. [Slowly the shivering stopped|After a time it lifted its head], and {h.he} carried it along under one arm.",
         "the cold lamb"),
        ("[The wind turned to the north|Snow began to fall], and it grew so cold that [even the breath seemed to freeze|the puddles cracked like glass].",
         "{h} pulled {o} tight around {h.his} shoulders. [Inside it was like sitting next to a stove|It was only cloth, but it felt like being hugged], and {h.he} walked on.",
         "the cold"),
        ("[At the roadside sat an old woman with blue fingers|{h} met a traveller whose teeth were chattering]. \"I [only need to rest a little|cannot feel my toes],\" came the faint answer.",
         "Without a word {h} gave away {o}. [\"Take the left path, dear, the right one is flooded,\" said the stranger, warm again|The stranger smiled, and pointed out a shorter way that was on no map].",
         "the frozen stranger"),
    ],
    "dig": [
        ("[Sand had blown across the door|A heap of earth had slid in front of the door], and it [would not open even a little|was as high as {h.his} chin].",
         "{h} took {o} and dug. [{h.He} dug until noon, and then the door swung open|Scoop after scoop the heap grew smaller, until the door could move].",
         "the buried door"),
        ("[Snow lay so deep that the road was gone|During the night the road had been buried in snow]. [Nobody had come through since Monday|Only the tops of the fence posts showed].",
         "With {o} {h} cut a path [as wide as one pair of shoulders|straight as a ruler]. [It took two hours, and at the end of it {h.his} cheeks were red and the road was free|Others saw it and came to help, and soon the road was free].",
         "the deep snow"),
        ("A rabbit called from under the ground. \"[My burrow has fallen in|The roof came down and I cannot get out],\" it cried.",
         "{h} put {o} gently into the soil, so as not to hurt anyone. [Bit by bit the hole grew, and out came one rabbit, then another, then five small ones|Soon two long ears came out, and then the rest of the rabbit].",
         "the fallen burrow"),
    ],
    "way": [
        ("[The path divided into three|Suddenly there were three paths instead of one], and [no sign told which was right|all of them looked the same].",
         "{h} studied {o} [for a long moment|with great care]. \"[The middle one|The left one|The right one],\" {h.he} said, and {h.he} was right.",
         "the three paths"),
        ("[After an hour {h} passed the same crooked oak again|The crooked oak came into sight for the third time]. {h.He} [had been walking in a circle|was lost].",
         "{h} sat on a root and looked at {o}. [North was not where {h.he} had thought it was|The stream had to be on the other side], so {h.he} turned around, and the oak did not come back.",
         "the crooked oak"),
        ("[Reeds stood high on every side|The maze of hedges had no end], and [each turn looked like the last one|it was impossible to see over them].",
         "\"Good thing I have {o},\" said {h}. [Left, left, right and left again, and the open field lay ahead|With its help {h.he} found the gap that everyone else had missed].",
         "the maze"),
    ],
    "open": [
        ("[The gate was locked|A tall gate barred the way], and [the wall was too smooth to climb|nobody answered the bell].",
         "{h} tried {o} in the lock. It [scraped, it stuck, and then it turned|went in, turned halfway, and clicked]. The gate opened [without a sound|with a sigh].",
         "the locked gate"),
        ("[From inside a cage came a thin song|In a cage by the road sat a thrush], and [the cage had a heavy lock|there was nobody to open it].",
         "Very carefully {h} pushed {o} into the lock. Click! [The thrush flew once around {h.his} head and off over the roofs|The little door fell open, and the song went up into the sky].",
         "the cage"),
        ("[In the cellar stood a chest|They found a chest under the stairs], [and it would not open|with a lock as big as a fist].",
         "{h} knelt down and used {o}. [The lid rose slowly, and there lay letters, a hundred of them, tied with string|Inside there was no gold, only an old picture of the whole family, smiling].",
         "the chest"),
    ],
    "cover": [
        ("[The clouds broke|All at once hail came down], and hailstones as big as [peas|cherries] [jumped on the road|rattled on the stones].",
         "Quickly {h} got under {o}, [and there was room for a wet sparrow as well|and {h.he} listened to the drumming overhead until it stopped]. [Not one stone touched {h.him}|After ten minutes the sky was blue again].",
         "the hail"),
        ("[The roof of the hut leaked|Water dripped through the roof], and the drops fell right [on the sleeping baby|into the soup].",
         "{h} hung {o} under the hole. [Plop, plop, went the drops, and ran off to the side|From then on the floor stayed dry].",
         "the leaking roof"),
        ("[The sun burned down|It was so hot that the road shimmered], and [there was no shade for miles|a tired beetle had given up in the dust].",
         "{h} had {o}, and made a little shade with it. [In that shade they rested until the worst was over|It was small, but it moved along wherever {h.he} went].",
         "the heat"),
    ],
    "reach": [
        ("[High in a tree sat a kitten|From the top of a tree came a small meow], [and it did not dare to climb down|and with every gust the branch shook].",
         "{h} set {o} against the trunk and climbed up as far as it went. [\"Come,\" {h.he} said, and the kitten came, claws first|The kitten jumped onto {h.his} shoulder and purred all the way down].",
         "the kitten in the tree"),
        ("[A kite had caught on the chimney|Somebody's kite hung from the church roof], and a little boy [stood below and wept|stared up at it without a word].",
         "{h} fetched {o}, stretched as far as {h.he} could and [gave the tail a tug|poked at the string]. [Down it floated|The kite slid, turned over and sailed down], right into the boy's arms.",
         "the kite"),
        ("[The shelf was far too high|What they needed stood on the very top shelf], and [jumping did not help|even on tiptoe {h} could not get near it].",
         "Then {h} had an idea, and it was {o}. [One stretch, one wobble, and it was done|A moment later {h.he} could reach it with two fingers].",
         "the high shelf"),
    ],
    "shine": [
        ("[Out on the water a boat was heading for the rocks|A fishing boat had lost its way], and [no one on board could hear the shouting|the wind swallowed every shout].",
         "{h} turned {o} until it caught the sun and threw a bright spot on the sail. [One flash, two flashes, three|Flash, flash, flash]. The boat [swung away just in time|turned, and the fishermen waved].",
         "the boat near the rocks"),
        ("[A magpie had taken the letter and sat on a branch with it|A magpie held the ticket in its beak], and it [would not listen to reason|only laughed].",
         "{h} let {o} sparkle in the light. [The magpie put its head to one side, opened its beak, and the paper fell|No magpie can resist such a thing: it dropped the paper and came hopping closer].",
         "the magpie"),
        ("[Something was crying at the bottom of the well|Down in the dry well it was too dark to see], and [nobody dared to look|the voice was growing weak].",
         "{h} used {o} to send a sunbeam down. [There sat a frog on a stone, quite unhurt, and beside it hung the bucket|It showed a little hedgehog, and a moment later the bucket was on its way down].",
         "the dark well"),
    ],
    "float": [
        ("[The stream had become a river|After the rain the water had risen], and the stepping stones [were gone|lay deep below].",
         "{h} pushed {o} into the water and climbed on. [It turned round twice, bumped against a root and landed on the other side|Paddling with both hands, {h.he} reached the far bank with only one wet foot].",
         "the high water"),
        ("[Three ducklings sat on a stone in the flood|On a stone in the middle of the pond sat a wet cat], and the water [was rising|already touched their toes].",
         "{h} let {o} drift across on the current. [\"Climb on!\" {h.he} called, and they did|It stopped right next to the stone], and in a moment all were safe.",
         "the flood"),
        ("[A ditch full of mud cut the road in two|Between them and the gate lay a pool of deep mud], [and nobody knew how deep it was|and a boot was already stuck in it].",
         "{h} laid {o} across the worst part. [It sank a little, and then it carried|Step by careful step {h.he} went over], and not even the hem of {h.his} clothes got dirty.",
         "the mud"),
    ],
    "fix": [
        ("[The sail had torn from top to bottom|There was a long tear in the tent], and [the storm was an hour away|everyone was blaming everyone else].",
         "{h} asked for quiet, took {o} and set to work. [It was not pretty, but it held|When it was done, one had to look twice to find the place].",
         "the tear"),
        ("[A wheel had come off the wagon|The wagon leaned to one side, with one wheel in the grass], and [the milk would soon be sour|the horses had begun to eat the hedge].",
         "\"I have {o},\" said {h}, \"and I have patience.\" [Half an hour later the wheel turned again|It took some time and one sore thumb, and then the wagon stood straight].",
         "the wagon"),
        ("[The puppet for the play had lost an arm|The old doll lay in two pieces], and [the curtain would go up at six|a small girl was trying not to cry].",
         "{h} bent over it with {o} and did not look up until it was whole. [\"Better than before,\" everyone agreed|The seam looked like a smile].",
         "the broken doll"),
    ],
}

GOALS = [
    # (why {h} sets out, how it ends well)
    ("wanted to bring {e} a jar of [plum jam|soup|cough syrup|blackberry jelly], because {e} was ill",
     "{e} took one spoonful, then another, and [colour came back to {e.his} cheeks|asked for the whole story, from the beginning]."),
    ("had a letter to deliver to {e}, and it had to arrive before [sunset|noon|the bell struck six]",
     "{e} read the letter, laughed out loud and [read it aloud a second time|folded it very small, to keep it for ever]."),
    ("wanted to see [the falling stars|the first snow|the great ships|the lanterns of the summer feast] {p.from_}",
     "And there it all was, [brighter than in any picture|just as {e} had promised], and for a while nobody said a word."),
    ("had promised to help {e} with the [harvest|painting|baking|sheep] {p.at}",
     "\"You came after all!\" cried {e}, and together they worked until [the last of it was done|the moon looked over the wall]."),
    ("was going {p.to} to [meet {f}, who had been away since spring|surprise {f}, whose birthday it was|fetch {f} home for supper]",
     "{f} came running with open arms, and they talked until [their voices were hoarse|the stars were out]."),
    ("had heard that a [blue flower|golden beetle|talking stone|wishing well] could be found {p.at}, and wanted to see it",
     "It was smaller than {h} had imagined, and [a good deal more beautiful|that was just what made it wonderful]."),
    ("wanted to return [a lost purse|a lost mitten|a borrowed book|a forgotten basket] to {e}",
     "\"I had given up hope,\" said {e}, and shook {h.his} hand [for a long time|with both hands]."),
    ("had to buy [flour|lamp oil|thread|salt] {p.at} before the shops closed",
     "The shop was just closing, but the door opened once more, [and there was even one coin left over|because the shopkeeper liked people who did not give up]."),
]

WEATHER = {
    "spring": ["a soft rain was falling", "the first warm wind blew", "the hedges were white with blossom", "the ice had just melted", "lambs were calling in the fields"],
    "summer": ["the air was still and hot", "not a cloud was in the sky", "swallows flew high", "thunder grumbled far away", "the dust lay thick on the road"],
    "autumn": ["yellow leaves were flying about", "mist hung over the fields", "the wind smelled of smoke and apples", "geese were flying south", "it had rained for three days"],
    "winter": ["frost covered every twig", "snow was falling in big slow flakes", "the ponds were frozen", "the nights were long and clear", "icicles hung from the roofs"],
}
TIMES = ["morning", "afternoon", "evening", "day", "Sunday", "Monday", "Friday", "market day"]
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
ANIMALS = ["cat", "crow", "owl", "mouse", "donkey", "goose", "snail", "beetle", "squirrel", "robin", "toad", "horse", "bat", "magpie"]
FRUITS = ["apples", "plums", "chestnuts", "eggs", "buttons", "shells", "cherries", "walnuts", "biscuits", "marbles", "feathers", "candles"]


# ---------------------------------------------------------------------------------------------- glances at the world

GLANCES = .3    # chance of a glance after each sentence of the plot

SAID = ["said"] * 5 + ["answered", "replied", "murmured", "declared", "whispered", "called", "muttered", "announced"]
ASKED = ["asked"] * 4 + ["wondered"]

NOUNS = {noun: looks for looks, nouns in {
    "narrow winding stony dusty steep": "path lane alley track",
    "crooked hollow mossy ancient lonely": "oak willow birch elm tree stump",
    "broken wooden painted leaning low": "fence gate bench signpost ladder shed",
    "cracked chipped blue earthen forgotten": "jug bowl teapot cup vase plate",
    "tattered faded embroidered torn muddy": "flag glove sock apron curtain cushion sail",
    "smooth flat speckled shining grey": "pebble stone shell coin button",
    "dim golden flickering distant lonely": "light spark star window fire",
    "wide shallow muddy clear glittering": "puddle pond brook ditch pool",
    "fallen golden withered floating curled": "leaf petal feather blossom twig",
    "rattling overloaded three-wheeled yellow squeaking": "cart wagon wheelbarrow bicycle carriage",
    "thick dusty secret heavy handwritten": "book letter diary songbook notebook",
    "rusted heavy crooked shiny enormous": "nail hook chain anchor bucket kettle",
    "tall thin round slanting smoking": "chimney tower steeple roof windmill",
    "dark wide tangled silent prickly": "thicket hedge wood bramble"}.items() for noun in nouns.split()}
PLURALS = ("ants bees butterflies dragonflies sparrows pigeons starlings swans ducks hens lambs goats kittens puppies children sailors fishermen soldiers washerwomen "
           "travellers neighbours musicians schoolboys farmers ladybirds rabbits frogs moths tadpoles gulls").split()
ANIMAL_LOOKS = "fat thin sleepy spotted one-eyed young old white black brown tame wild wet dusty proud nervous striped ginger limping solemn".split()
ANIMAL_DID = ["was cleaning its feet", "stared at nothing", "sneezed", "chewed on a straw", "ran across the road", "looked up", "shook itself dry", "turned in a circle", "blinked",
              "slept with one eye open", "scratched its ear", "dragged a twig along", "drank from a puddle", "sang off key", "waited for crumbs", "hid behind a bucket",
              "rolled in the dust", "listened", "limped by", "watched the clouds", "carried a worm home", "chased its own shadow", "yawned", "nibbled at a turnip"]
WHERE = ["on the wall", "under the eaves", "beside the well", "near the gate", "among the nettles", "behind the church", "on the roof", "in the ditch", "below the bridge", "at the edge of the wood",
         "in the shade", "in the tall grass", "on the doorstep", "by the haystack", "between the beans", "along the hedge", "in the middle of the road", "under a cart", "on a windowsill",
         "by the water", "over the hills", "across the field", "in the old boat", "next to the pump", "on the stairs", "behind the stable", "outside the inn"]
SIMILES = ["a cat's tongue", "an old song", "a torn sail", "a sleeping cow", "spilled milk", "a row of teeth", "wet paint", "a giant's footprint", "a forgotten toy", "fresh bread", "a question mark",
           "a bowl of soup", "a drum far away", "a broken promise", "dry paper", "polished brass", "a secret", "an upturned boat", "a bent spoon", "a wolf's breath", "fine flour", "somebody snoring"]
SMELLS = ["smoke", "wet wool", "mint", "fried onions", "tar", "hay", "roses", "vinegar", "thyme", "soap", "mud", "pepper", "old leather", "honey", "fish", "chalk", "moss", "burnt sugar", "lavender", "ink"]
FOODS = ["pancakes", "lentil soup", "dumplings", "cold potatoes", "gingerbread", "porridge", "pickled cabbage", "roast chestnuts", "butter", "rye bread", "carrots", "custard", "mushrooms", "turnip stew",
         "smoked trout", "raisins", "oatcakes", "peas", "blueberries", "radishes", "noodles", "cream", "walnut cake", "baked apples", "garlic", "rice pudding", "figs", "mustard"]
JOBS = "cobbler tailor postman fiddler cooper weaver potter gardener fishwife sweep carpenter hatter glazier locksmith painter cook miner juggler priest clerk mason barber thatcher cartwright".split()
WORK = ["sweeping the steps", "hanging up washing", "counting coins", "sharpening a knife", "feeding the hens", "humming a tune", "peeling turnips", "arguing with a mule", "reading the paper", "stacking firewood",
        "mending a net", "painting a door", "polishing a boot", "carrying two buckets", "chasing a hat", "eating an onion", "selling thimbles", "looking for a cat", "winding up a clock", "writing a sign", "pulling weeds"]
RELATIVES = "aunt uncle cousin brother sister grandmother grandfather godmother neighbour teacher".split()
DEEDS = ["ate forty dumplings in one sitting", "walked to the sea and back", "taught a crow to count", "slept through an earthquake", "met a king in a bathtub", "built a boat out of doors", "caught a fish with a teaspoon",
         "danced with a bear", "sailed around the world in a barrel", "lost a bet with a snail", "kept a goose for twenty years", "wrote a song about cheese", "found a tooth in a loaf", "fell asleep in a church tower",
         "wrestled a goat for a hat", "painted a cow green", "forgot the way to the kitchen", "saw a whale from the kitchen window", "knitted a scarf for a horse", "swallowed a button", "crossed the desert on a donkey"]
FACTS = ["snails can sleep for three years", "no two snowflakes are alike", "an owl cannot move its eyes", "bees dance to show the way", "the moon pulls the sea", "oysters can change their minds", "trees talk through their roots",
         "a cricket hears with its knees", "goats have square eyes", "swifts sleep while they fly", "eels come from the far end of the ocean", "the oldest turtle is older than the town hall", "ants never get stuck in traffic",
         "frogs drink through their skin", "honey never goes bad", "cows have best friends", "a flea can jump over a house", "there is a lake that glows at night", "a shadow is longest in the evening", "thunder is only slow lightning"]
ADVERBS = ["slowly", "quietly", "suddenly", "lazily", "politely", "crossly", "sadly", "gladly", "patiently", "sleepily", "proudly", "softly", "carefully", "at once", "all day", "without a word", "for no reason"]
MOODS = ["homesick", "hungry", "as free as a bird", "a little foolish", "older than before", "wide awake", "strangely calm", "a bit dizzy", "hopeful", "thirsty", "lucky", "tired", "full of ideas", "very grown up", "lonely", "almost happy"]
COLOURS = "purple pink copper silver orange milky violet golden grey green pale rosy inky yellow crimson white".split()
SKY = ["a cloud shaped like a boat", "a cloud shaped like a pig", "the first star", "a rainbow with a gap in it", "a flock of cranes", "a thin moon", "a hawk", "a lost balloon", "a long grey cloud", "the evening star", "a swarm of starlings", "a pale sun"]
MEMORIES = ["the smell of fresh paint", "a song from long ago", "last year's harvest", "the day the pond froze over", "a dream about elephants", "supper", "the warm kitchen at home", "a picture in an old book", "the sound of the sea", "the summer of the great flood",
            "a joke that only two people knew", "a button on a blue dress", "the night train", "a puppy that had run away", "a tune with no words", "the taste of snow"]

GLANCE_SIGHTS = [
    "A {a1} {did} {where}.", "{where}, a {a1} {did}.", "[A few|{count}|Some|Several] {plural} [came by|were resting {where}|gathered {where}|passed {adverb}|made a great noise {where}].",
    "The {n1} looked like {like}.", "[Somebody had left|There stood|There lay] a {n1} {where}.", "It smelled of {smell} and {smell2}.", "A {job} was {work} {where}.",
    "{h} saw a {n1}, a {n2} and [{count} {plural}|a {n3}].", "The sky [was|turned|had gone] {colour}, and {sky} [hung|drifted|moved] [over the {n1}|above the roofs|in the west].", "For a moment {h} felt {mood}.",
    "{where}, a {job} was {work}.", "{h} [thought|was reminded] of {memory}.", "A {a1} and a {a2} [sat|stood|quarrelled|walked] {where}.", "[Something moved|A shadow passed|A voice sang|Water dripped] {where}.",
    "There was [a|one] {n1}, and next to it [a {n2}|nothing else|a {a1}].", "{h} [stepped over|walked around|sat down beside|looked behind|picked up] a {n1} and went on {adverb}.", "The {n1} [creaked|glistened|trembled|cast a long shadow|seemed to listen].",
    "A {a1} {did}, {adverb}.", "The wind [carried|brought] a smell of {smell}.", "{h} had eaten nothing but {food} and {food2}, and felt {mood}.", "Not far from the {n1} lay a {n2}.",
    "The {job} had once [lived|worked|slept] {where}, people said.", "{count} {plural} {where} [did not care|looked on|fell silent|began to laugh]."]
GLANCE_TALK = [
    "\"Did you know that {fact}?\" [somebody asked|a {job} asked|asked a passing {job}].", "\"My {relative} once {deed},\" [a {job} was telling the {plural}|somebody was saying|said a voice {where}].",
    "\"[I could eat|I smell|Who wants|There will be] {food},\" said a {job} {where}.", "\"{food} with {food2}!\" [called|cried|sang] a {job}.", "\"They say that {fact},\" said a {a1}, {adverb}.",
    "\"[Have you lost a|Is that your|Whose is this|Who left this|Where is my] {n1}?\" [called|shouted|asked] a {job}.", "It is well known that {fact}, but {h} [did not believe it|had other worries|had never heard of it].",
    "{h} remembered how {h.his} {relative} once {deed}.", "\"[Good day|Hello there|Fine weather|Careful],\" said a {job}, who was {work} {where}.", "\"{fact},\" it said on a {n1}."]


class Being:
    """Somebody in a story; knows the right pronouns."""
    FORMS = {"she": ("she", "her", "her", "herself"), "he": ("he", "him", "his", "himself")}

    def __init__(self, name, sex, kind, trait=None):
        self.name, self.kind, self.trait = name, kind, trait
        self.he, self.him, self.his, self.self = self.FORMS[sex]
        self.He, self.His = self.he.capitalize(), self.his.capitalize()

    def __str__(self):
        return self.name


class Thing:
    def __init__(self, noun, adjective):
        self.n, self.adj = noun, adjective
        self.a = f"a {adjective} {noun}"
        self.use = OBJECTS[noun][0]

    def __str__(self):
        return f"the {self.adj} {self.n}"


class Place:
    def __init__(self, noun):
        self.n = noun
        preposition, self.detail = PLACES[noun]
        self.at = f"{preposition} the {noun}"
        self.At = self.at.capitalize()
        self.to = f"to the {noun}"
        self.from_ = f"from the {noun}"

    def __str__(self):
        return f"the {self.n}"


def heroes():
    for name in GIRLS:
        yield name, "she", "girl"
    for name in BOYS:
        yield name, "he", "boy"
    for name, kind in SHE_ANIMALS:
        yield name, "she", kind
    for name, kind in HE_ANIMALS:
        yield name, "he", kind


HEROES = list(heroes())


def held_out(hero, thing, place):
    """True for the tenth of all (hero, object, place) triples that only the evaluation may use."""
    return zlib.crc32(f"{hero}/{thing}/{place}".encode()) % 10 == 0


# ---------------------------------------------------------------------------------------------- the teller

class Teller:
    """The cast of one story and the means to put sentences together."""

    def __init__(self, rng, evaluation, uses):
        self.rng = rng
        things = [x for x in OBJECTS if OBJECTS[x][0] in uses]
        while True:
            hero, thing, place = rng.choice(HEROES), rng.choice(things), rng.choice(list(PLACES))
            if held_out(hero[0], thing, place) == evaluation:
                break
        self.triple = (hero[0], thing, place)
        traits = rng.sample(list(TRAITS), 2)
        self.h = Being(*hero, traits[0])
        self.f = Being(*rng.choice([x for x in HEROES if x[0] != hero[0]]), traits[1])
        elder, sex = rng.choice(ELDERS)
        self.e = Being(elder, sex, "elder")
        self.o = Thing(thing, rng.choice(OBJECTS[thing][1].split("|")))
        self.p = Place(place)
        self.season = rng.choice(list(WEATHER))
        self.paragraphs = [[]]
        self.glances = True

    def pick(self, *options):
        return self.rng.choice(options)

    def chance(self, probability):
        return self.rng.random() < probability

    def fill(self, text, **extra):
        """Resolves [a|b] and {slots}."""
        while "[" in text:
            text = re.sub(r"\[([^\[\]]*)\]", lambda m: self.rng.choice(m.group(1).split("|")), text)
        for _ in range(2):      # slots may hold text that has slots
            text = text.format(h=self.h, f=self.f, e=self.e, o=self.o, p=self.p, **extra)
        return text

    def say(self, *options, **extra):
        """Adds one of the options as a sentence (or a few), and now and then a glance at the world around."""
        text = self.fill(self.rng.choice(options), **extra).strip()
        text = re.sub(r'(?<=[a-z,!]") (said|asked) ', self.speech_verb, text)
        self.paragraphs[-1].append(re.sub(r"[a-zA-Z]", lambda m: m.group().upper(), text, count=1))
        if self.glances and self.chance(GLANCES):
            self.glance()

    def speech_verb(self, match):
        return " " + self.rng.choice(SAID if match.group(1) == "said" else ASKED) + " "

    def glance(self):
        """One sentence put together word by word; most of the vocabulary lives here."""
        def noun():
            word = self.pick(*NOUNS)
            return f"{self.pick(*NOUNS[word].split())} {word}"

        def animal():
            return f"{self.pick(*ANIMAL_LOOKS)} {self.pick(*ANIMALS)}"
        text = self.fill(
            self.pick(*GLANCE_TALK) if self.chance(.3) else self.pick(*GLANCE_SIGHTS),
            n1=noun(), n2=noun(), n3=noun(), a1=animal(), a2=animal(), plural=self.pick(*PLURALS), did=self.pick(*ANIMAL_DID), where=self.pick(*WHERE),
            like=self.pick(*SIMILES), smell=self.pick(*SMELLS), smell2=self.pick(*SMELLS), food=self.pick(*FOODS), food2=self.pick(*FOODS),
            job=self.pick(*JOBS), work=self.pick(*WORK), relative=self.pick(*RELATIVES), deed=self.pick(*DEEDS), fact=self.pick(*FACTS),
            adverb=self.pick(*ADVERBS), count=self.pick(*NUMBERS[2:12]), mood=self.pick(*MOODS), colour=self.pick(*COLOURS), sky=self.pick(*SKY),
            memory=self.pick(*MEMORIES))
        self.paragraphs[-1].append(re.sub(r"[a-zA-Z]", lambda m: m.group().upper(), text, count=1))

    def maybe(self, probability, *options, **extra):
        if self.chance(probability):
            self.say(*options, **extra)

    def paragraph(self):
        if self.paragraphs[-1]:
            self.paragraphs.append([])

    def text(self):
        lines = []
        for sentences in self.paragraphs:
            line = " ".join(s.strip() for s in sentences if s.strip())
            line = re.sub(r" +([.,!?])", r"\1", re.sub(r"  +", " ", line))
            line = re.sub(r"\b([Aa]) (?=(?!one\b|use)[aeiouAEIOU])", r"\1n ", line)
            line = re.sub(r"^(\W*)([a-z])", lambda m: m.group(1) + m.group(2).upper(), line)
            line = re.sub(r"([.!?] +\"?)([a-z])", lambda m: m.group(1) + m.group(2).upper(), line)
            lines.append(line)
        return "\n".join(line for line in lines if line)

    # ------------------------------------------------------------------------------------ parts of stories

    def weather(self):
        return self.rng.choice(WEATHER[self.season])

    def introduce_hero(self):
        shows = self.fill(TRAITS[self.h.trait])
        when = self.pick("One", "On a", "Early one", "Late one")
        time = self.pick(*TIMES) if when == "One" else self.pick(*TIMES[:3])
        when = f"{when} {self.season} {time}" if when != "One" or self.chance(.5) else f"{when} {time}"
        self.say(
            "Once [upon a time|] there was a {trait} {h.kind} called {h}, who {shows}.",
            "{h} was a {trait} {h.kind}. {h.He} {shows}.",
            "Near the {p.n} lived a {h.kind} whose name was {h}. {h.He} was so {trait} that {h.he} {shows}.",
            "In a [small|white|crooked|narrow] house not far from the {p.n} lived {h}, a {trait} {h.kind} who {shows}.",
            "Everyone knew {h} the {h.kind}, because {h} {shows}.",
            "{when}, when {weather}, a {trait} {h.kind} named {h} [woke before everyone else|looked out of the window|sat on the doorstep and thought].",
            "\"[What a day|Listen to that|Is it time already]!\" said {h}. It was {season}, and {weather}. {h} was a {trait} {h.kind} who {shows}.",
            "This is the story of {h}, the {trait} {h.kind}, and of {o.a}.",
            trait=self.h.trait, shows=shows, when=when, weather=self.weather(), season=self.season)

    def introduce_place(self):
        self.maybe(.6, "{p.At} [it was never quite silent|there was always something to see]: {detail}.",
                   "It was {season}, and {weather}.", "{when}, {weather}, and {p.at} {detail}.",
                   "[That day|That week|As always], {p.at}, {detail}.",
                   "{h} loved the {p.n}, where {detail}.",
                   detail=self.rng.choice(self.p.detail.split("|")), season=self.season, weather=self.weather(),
                   when=self.pick("It was early", "It was the middle of " + self.season, "The week was nearly over"))

    def give_object(self):
        """Introduces the object, which matters later."""
        self.origin = self.pick(
            ("[{e} had given {h.him} {o.a}|{h} had been given {o.a} by {e}]", "that {e} had given {h.him}"),
            ("[Under the bed|In the attic|Behind the stove] {h} had found {o.a}", "from the house"),
            ("{h} had bought {o.a} with {h.his} own money, [four|six|nine] coins in all", "that had cost so many coins"),
            ("{f} had lent {h.him} {o.a}", "that {f} had lent {h.him}"),
            ("{h} had won {o.a} at the fair", "from the fair"))
        self.say(self.origin[0] + self.pick(
            ", and {h.he} [took it everywhere|never left home without it].",
            ". [Nobody knew what it might be good for|It was nothing special to look at], but {h} [liked it very much|kept it close].",
            ". \"[One day you will need it|Take good care of it|It is worth more than it seems],\" {e} had said.",
            "; it hung on a nail beside the door.", "."))

    def friend_meets(self):
        self.say("On the way {h.he} met {f}, a {trait} {f.kind}.",
                 "{f} the {f.kind} was [sitting on a fence|mending a basket|looking for mushrooms|counting clouds] when {h} came by.",
                 "[Round the next bend|Behind the hedge|By the well] stood {f}, the {trait} {f.kind} [from next door|from across the river|].",
                 trait=self.f.trait)
        self.say("\"Where are you going [so early|in such a hurry|all alone]?\" asked {f}. \"{to},\" said {h}. \"[Come along, if you like|It is a long story|You may come too].\"",
                 "\"May I come with you?\" asked {f}. \"[Two are better than one|Of course|If you can keep up],\" [said|answered] {h}.",
                 "\"You look [worried|tired|cheerful],\" said {f}. \"[I have far to go|I have a plan|Ask me again tonight],\" said {h}.",
                 to=self.p.to.capitalize())

    def feel(self, being, good):
        if good:
            return self.pick("{x} felt [light as a feather|warm all over|ten feet tall].", "{x} [smiled|laughed|grinned] [from ear to ear|to {x.self}|].",
                             "{x}'s heart [beat fast with joy|jumped like a fish].")
        return self.pick("{x}'s heart sank [like a stone|].", "{x} swallowed hard.", "{x} felt [very small|cold inside|sick with worry].",
                         "Tears came to {x}'s eyes.", "{x} sat down and [did not know what to do|sighed].")

    def think_of_object(self):
        self.say("What now? {h} [thought and thought|scratched {h.his} head|looked about], and then {h.he} remembered the {o.n}.",
                 "\"[We must turn back|It is hopeless|Nobody can get past that],\" [people said|said a passing {animal}]. But {h} shook {h.his} head and looked at the {o.n}.",
                 "{h} wanted to give up. Then {h.his} hand touched the {o.n}.",
                 "\"What have you got there?\" asked a {animal}. It was the {o.n} " + self.origin[1] + ".",
                 "For a while {h} [sat|stood] there. [Had {e} not spoken of this|Was there nothing that could help]? Of course: the {o.n}!",
                 animal=self.pick(*ANIMALS))

    def end(self, *morals):
        self.paragraph()
        self.maybe(.45, "[That night|That evening|Later, in bed], {h} [slept without a single bad dream|told the whole story twice|lay awake a little and listened to the {sound}].",
                   "[On the way home|When they walked home] {h.he} [hummed a tune|counted the stars|did not feel tired at all].",
                   "And the {o.n}? " + ("[Nobody missed it|It had done its work|That is another story]." if self.o.use in ("food", "warm") else
                                        "It [has a place of honour above the fireplace|stands beside the door to this day|went back to its place, a little more scratched than before]."),
                   sound=self.pick("wind", "rain", "owls", "clock", "river"))
        self.glances = False
        moral = self.fill(self.rng.choice(morals))
        self.say("{moral}", "[Since then|From that day on] {h} knew: {lower}", "\"{quoted},\" said {e}.", "And if you ask {h}, {h.he} will tell you: {lower}",
                 "{h} [never forgot it|often thought of it later]: {lower}", "{moral}", moral=moral, quoted=moral.rstrip("."),
                   lower=moral[0].lower() + moral[1:] if not moral.startswith("I ") else moral)


# ---------------------------------------------------------------------------------------------- the plots

def journey(t):
    """Sets out, is stopped, gets past with the thing from the first paragraph, arrives."""
    t.introduce_hero()
    t.introduce_place()
    t.give_object()
    t.paragraph()
    goal, success = t.pick(*GOALS)
    t.say("[One day|One morning|That week|Now it happened that] {h} " + goal + ".", "{h} " + goal + ", so {h.he} [set out at once|packed some bread and left|put the {o.n} in a bag and started walking].")
    t.maybe(.35, "\"[Be home before dark|Do not talk to the geese|Mind the bridge|Keep to the path],\" {e} [said|called after {h.him}].")
    if t.chance(.5):
        t.friend_meets()
    problem, solution, name = t.pick(*OBSTACLES[t.o.use])
    t.paragraph()
    t.say(problem)
    t.maybe(.5, t.feel(t.h, False), x=t.h)
    t.think_of_object()
    t.say(solution)
    t.maybe(.4, t.feel(t.h, True), x=t.h)
    t.paragraph()
    t.say("So {h} came {p.to} [in good time|at last|just before the rain]. " + success, "[A little later|By evening|At last] {h.he} stood {p.at}. " + success)
    t.maybe(.4, "Only {name} had cost {h.him} a little time.", "When {h} told about {name}, [nobody could believe it|everyone clapped].", name=name)
    t.end("Small things can help with great troubles.", "What seems useless today may be needed tomorrow.", "Whoever keeps calm finds a way.",
          "A good gift [waits for its hour|is never too small].", "The way is easier with the right thing in your pocket.")


def lost(t):
    """Loses the object, asks three others, finds it where it was forgotten."""
    t.introduce_hero()
    t.give_object()
    t.introduce_place()
    t.paragraph()
    t.say("[But one morning|Then one day|On the day of the feast] the {o.n} was gone. {h} looked under the [bed|table|stairs], behind the [curtain|stove|cupboard] and even in the [soup pot|flour bin|cat's basket].",
          "One evening {h} reached for the {o.n}, and there was nothing there. {h.He} emptied every [drawer|pocket|basket] in the house.")
    t.maybe(.6, t.feel(t.h, False), x=t.h)
    t.paragraph()
    first, second = t.rng.sample(ANIMALS, 2)
    t.say("\"Have you seen my {o.n}?\" {h} asked the {a}. \"[Is it something to eat|Does it have wings|Is it round]?\" asked the {a}. \"[No|Not at all],\" said {h}. \"Then I have not seen it.\"",
          "First {h} asked the {a}. \"[I only look at worms|I was asleep|I see nothing by day],\" said the {a}, \"[ask somebody else|but I wish you luck].\"", a=first)
    t.say("Next {h} went to the {a}, [who was washing its face|who was busy with breakfast|who lived under the roof]. \"[Where did you have it last|Did you look where you looked first|What were you doing when you had it]?\" the {a} asked. {h} [blushed|did not know].",
          "The {a} [shook its head|thought for a long time]. \"I saw you carry it {p.to},\" it said, \"[but I did not see you carry it back|and then it began to rain].\"", a=second)
    t.say("At last {h} asked {f}. \"[Think back, step by step|Let us walk your way again],\" said {f}. \"[Yesterday|On Tuesday|Before the rain] you were {p.at}.\"",
          "Then came {f}, who was {trait}. \"We will look together,\" {f.he} said, and they went {p.to}.", trait=t.f.trait)
    t.paragraph()
    t.say("And there, {p.at}, [between two stones|under a heap of leaves|on a low wall|half hidden in the grass], lay {o}. [{h} had put it down to tie a shoe|{h} had set it aside to look at a butterfly|It had been waiting all the time].",
          "They went {p.to}, where {detail}. \"There!\" cried {f}. {O} [was hanging from a branch|stood in a corner|lay in the shade], [quite unharmed|a little wet, but whole].",
          detail=t.rng.choice(t.p.detail.split("|")), O="The " + t.o.adj + " " + t.o.n)
    t.maybe(.5, t.feel(t.h, True), x=t.h)
    t.say("\"Thank you,\" said {h} to {f}, \"[without you I would still be looking|you have good eyes|now I will tie it to my belt].\"", "{h} thanked {f} and [the {a} too|hugged {f.him}].", a=second)
    t.end("Look first where you were last.", "Four eyes see more than two.", "A thing is not lost as long as somebody helps to look for it.", "Those who ask find more than those who only worry.")


def quarrel(t):
    """Two friends want the same thing, lose by it, and share."""
    t.introduce_hero()
    t.say("{h.His} best friend was {f}, a {trait} {f.kind}. They [did everything together|had known each other all their lives|met every day {p.at}].", trait=t.f.trait)
    t.paragraph()
    t.say("One {time} {p.at}, where {detail}, they found {o.a}. \"I saw it first!\" cried {h}. \"But I picked it up!\" cried {f}.",
          "{e} had left {o.a} {p.at}, and said that {h} and {f} might use it. \"Me first!\" cried {h}. \"No, me!\" cried {f}.",
          time=t.pick(*TIMES), detail=t.rng.choice(t.p.detail.split("|")))
    t.say("{h} pulled on one side and {f} on the other. [They pulled and shouted until they were red in the face|Neither would let go].",
          "[They argued until the sun had moved behind the trees|Loud words were said, and none of them were kind]. \"[You are not my friend any more|You always get everything],\" said {f}, and {f.he} [stamped off|turned away].")
    t.maybe(.5, "A {a} that [was watching|had come to listen] [shook its head|rolled its eyes] and [went away|said nothing].", a=t.pick(*ANIMALS))
    t.say("In the end {h} [won|kept it], and {f} went home. But [playing alone was dull|the {o.n} was no fun without somebody to show it to], and {h} [soon put it down|felt an ache where the joy should have been].",
          "Then {f} [ran off with it|took it home], and {h} was left behind. {h.He} kicked a stone. [It hit a tree, and the tree did not care|It hurt {h.his} toe and helped nothing].")
    t.paragraph()
    problem, solution, name = t.pick(*OBSTACLES[t.o.use])
    t.say("[The next day|Two days later|On the way home] something happened. " + problem)
    t.say("Both of them were there. They looked at each other. \"[We need the {o.n}|The {o.n} could help],\" said {f}. \"[Together|Yes],\" said {h}, and [fetched it|held out {h.his} hand].")
    t.say(solution)
    t.say("\"That was us,\" said {f}. \"[Both of us|The two of us],\" said {h}, and [they shook hands|they had to laugh].")
    t.say("After that {h} had the {o.n} on [odd days|Mondays, Wednesdays and Fridays|weekdays], and {f} had it on [even days|all the others|Sundays, with a song]. ", "From then on it belonged to both of them, and it stayed {p.at}, [where each could find it|under a flat stone].")
    t.end("What is shared is not halved but doubled.", "A friend is worth more than a {o.n}.", "Two who quarrel both lose.", "It takes two to carry joy.")


def contest(t):
    """A contest; the hero stops to help and still, or instead, wins something."""
    game, doing, prize = t.pick(("race", "run", "a silver cup"), ("baking contest", "bake", "a golden spoon"), ("kite contest", "fly", "a ball of red string"),
                                ("boat race", "row", "a new pair of oars"), ("singing contest", "sing", "a wreath of flowers"), ("swimming race", "swim", "a blue towel"))
    t.introduce_hero()
    t.say("Every {season} there was a {game} {p.at}, and the prize was {prize}.", "\"[The|This year's] {game} will be held {p.at},\" the crier called, \"and the winner gets {prize}!\"", game=game, prize=prize, season=t.season)
    n = t.rng.randint(3, 9)
    t.say("{N} had [entered|put down their names], and {h} was the [youngest|smallest|last] of them. {f}, {h.his} {trait} rival, had won [twice|three times] before.",
          "{h} practised every day for {n} weeks. \"[You will never beat me|Save your strength],\" laughed {f} the {f.kind}.", N=NUMBERS[n].capitalize(), n=NUMBERS[n], trait=t.f.trait)
    t.give_object()
    t.paragraph()
    t.say("Then the day came, and {weather}. {h} could {doing} better than ever. [Soon only {f} was ahead|{h.He} was second, then first].",
          "\"[Ready, steady, go|Begin]!\" called {e}. [Everybody cheered|The crowd held its breath]. At first {h} was [behind|nervous], but then {h.he} began to {doing} as never before.", weather=t.weather(), doing=doing)
    problem, solution, name = t.pick(*OBSTACLES[t.o.use])
    t.say("But then, [not far from the end|in the middle of it all], there was trouble. " + problem)
    t.say("The others [hurried past|did not even look]. {h} [looked at the prize, and looked back|thought of {prize}, and then of what {e} would do], and stopped.", prize=prize)
    t.say(solution)
    t.paragraph()
    if t.chance(.5):
        t.say("When {h} came in, [long after the others|last of all], {f} was already holding {prize}. But {f} [looked at it for a while and then held it out to {h.him}.|put it into {h.his} hands and said, \"I saw what you did, and this is yours.\"]", prize=prize)
        t.say("\"[Half of it|Keep it],\" said {h}. \"[You were faster|You won it fairly].\" [So they cut the cake in two|And from that day they were friends].")
    else:
        t.say("Strange to say, {h} still [won|came first]: {name} had held up all the others, and only {h} knew the way past.", "Nobody had finished yet, for {name} had stopped them one by one, and so {h} [won after all|got {prize}].", name=name, prize=prize)
        t.say("{f} was the first to [clap|shake {h.his} hand]. \"[Well done|You earned it],\" {f.he} said.")
    t.end("Whoever stops to help has already won.", "There are prizes that no judge can give.", "To be first is good, to be good is better.", "A true winner looks to the left and to the right.")


def counting(t):
    """Gathers a number of things, gives some away, loses some, and it turns out to be just enough."""
    thing = t.pick(*FRUITS)
    n = t.rng.randint(8, 14)
    give = t.rng.randint(1, 3)
    lose = t.rng.randint(1, 3)
    left = n - give - lose
    N = NUMBERS
    t.introduce_hero()
    t.introduce_place()
    t.say("{e} [asked|had asked] {h} to fetch {things} {p.from_}. \"[As many as you can carry|I need {left} of them|Count them well],\" {e.he} said, and gave {h.him} {o.a} [to take along|for the journey].", things=thing, left=N[left])
    t.paragraph()
    t.say("{h} [counted|gathered] {n} {things} and put them in a [basket|bag|box]. \"{N},\" {h.he} said aloud, [to be sure|so as not to forget].", n=N[n], N=N[n].capitalize(), things=thing)
    t.say("On the way back {h.he} met {f}, the {trait} {f.kind}, who [looked hungry|looked sad|had none at all]. {h} gave {f.him} {g} of them. Now there were {m}.",
          "\"May I have {g}?\" asked {f}, a {trait} {f.kind}. {h} thought about it and said yes, and then {m} were left.", g=N[give], m=N[n - give], trait=t.f.trait)
    problem, solution, name = t.pick(*OBSTACLES[t.o.use])
    t.paragraph()
    t.say(problem)
    t.say("In {h.his} fright {h.he} dropped the {box}, and {l} of the {things} [rolled away|got lost|fell into a crack]. {L} {remain}.", "{h} stumbled, and {l} of the {things} [rolled away|disappeared for good]. {L} {remain}.",
          box=t.pick("basket", "bag", "box"), l=N[lose], things=thing, L=N[left].capitalize(), remain="were left" if left > 1 else "was left")
    t.say(solution)
    t.paragraph()
    t.say("\"There were {n},\" said {h} to {e}, \"but I gave {g} to {f} and lost {l}. Now there are only {left}.\"", "{h} put the {things} on the table, one after the other. \"[I am sorry|Forgive me]. It should have been {n}, and it is {left}.\"",
          n=N[n], g=N[give], l=N[lose], left=N[left], things=thing)
    t.say("\"{Left} is [just what I need|exactly right|plenty],\" said {e}. [\"And I heard what you did for {f}.\"|{e.He} laughed and gave {h.him} a kiss on the forehead.]", Left=N[left].capitalize())
    t.end("What you give away is never missing.", "Count your {o.n} and your friends, and you will have enough.".replace("{o.n}", thing), "Honest numbers are the best numbers.", "Enough is as good as plenty.")


def noise(t):
    """A strange noise at night turns out to be harmless, or in need of help."""
    sound = t.pick("a scratching", "a long low moan", "a tapping", "a rustling", "footsteps", "a thump", "a strange singing", "a creaking")
    cause, help_ = t.pick(
        ("a family of {n} hedgehogs, moving house", "{h} held the door open until the last of them was through."),
        ("a loose shutter that swung in the wind", "{h} hooked it shut, and all was quiet."),
        ("a very old {a} that could not sleep", "They sat together until it yawned, and then {h} yawned too."),
        ("an owl that was teaching its {n} children to fly", "\"Again,\" said the owl, and {h} clapped each time one of them landed."),
        ("{f}, who was walking in {f.his} sleep", "{h} took {f.him} gently by the hand and led {f.him} home."),
        ("a lost calf that had caught its foot", "{h} freed the foot, and the calf pressed its wet nose into {h.his} hand."),
        ("the wind, playing on an empty bottle", "{h} listened for a while, since it was quite a pretty tune."),
        ("a bear cub that had smelled the honey", "{h} gave it one spoonful, and not a drop more, and showed it the way out."))
    extra = dict(n=NUMBERS[t.rng.randint(3, 8)], a=t.pick(*ANIMALS))
    t.introduce_hero()
    t.give_object()
    t.paragraph()
    t.say("One night, when {weather}, {h} woke up. There was {sound}, and it came from the {p.n}.", "It was [past midnight|long after bedtime], and {weather}. All at once {h} heard {sound}. [It stopped. Then it came again|It came from the {p.n}, or so it seemed].",
          weather=t.weather(), sound=sound)
    t.maybe(.7, t.feel(t.h, False), x=t.h)
    t.say("\"[It is a ghost|It must be a robber|Perhaps it is a dragon],\" whispered {f}, who was [sleeping in the next bed|staying for the week], and [pulled the blanket over {f.his} ears|crept under the bed].",
          "[Was it a ghost? Was it a wolf|Could it be a giant]? In the dark everything is possible.")
    t.say("But {h} wanted to know. {h.He} took {o}, because [one never knows|it made {h.him} feel braver|{e} had always said to have something in hand], and went out on bare feet.",
          "\"[I would rather know than wonder|Afraid or not, I am going],\" said {h}, and reached for the {o.n}.")
    t.paragraph()
    t.say("{p.At} {detail}, even at night. The sound grew louder. [One step, two steps, three|Closer and closer {h} went].", "The way {p.to} had never been so long. {h} counted the steps: {k}, {k1}, {k2}.",
          detail=t.rng.choice(t.p.detail.split("|")), **dict(zip(("k", "k1", "k2"), (lambda i: NUMBERS[i:i + 3])(t.rng.randint(7, 17)))))
    t.say("And what was it? It was only " + cause + ". " + help_, "{h} held up the {o.n}, and there it was: " + cause + ". " + help_, "[Then {h} had to laugh|{h} let out a long breath]. It was nothing but " + cause + ". " + help_, **extra)
    t.say("In the morning {h} told {e} about it. \"[And you went out alone|Were you not afraid]?\" asked {e}. \"[A little|Yes],\" said {h}, \"[but only until I looked|but then I was not].\"",
          "Then {h} went back to bed and slept until the sun stood high.")
    t.end("Most ghosts are afraid of being looked at.", "Fear is large in the dark and small in the light.", "Being brave means being afraid and going all the same.", "Whoever looks closely has less to fear.")


def confession(t):
    """Breaks the thing, hides it, tells the truth, mends it."""
    t.introduce_hero()
    t.say("{e} owned {o.a}, and nothing in the house was [dearer to {e.him}|older]. \"[Look, but do not touch|Please be careful with it],\" {e.he} always said.", "{p.At}, {e} kept {o.a}. [It had belonged to {e.his} mother|It had come from over the sea|It was a hundred years old].")
    t.paragraph()
    t.say("One {time}, while {e} was [away|asleep|feeding the hens], {h} [took it down|picked it up], just for a moment. [It slipped|A door banged, and {h.he} jumped]. There was a [crack|crash|snap], and the {o.n} lay on the floor, broken.",
          "{h} only wanted to see it from all sides. But {weather}, {h.his} fingers were [cold|wet|clumsy], and [crash|crack]! The {o.n} was [in two pieces|broken].", time=t.pick(*TIMES), weather=t.weather())
    t.say(t.feel(t.h, False), x=t.h)
    t.say("Quickly {h.he} hid the pieces [under a floorboard|in a flowerpot|behind the firewood] and [went out to play|pretended to read]. But [the game was no fun|the letters danced before {h.his} eyes], and at supper {h.he} [could not eat|left half the pudding].",
          "\"Have you seen my {o.n}?\" {e} asked. \"[No|Perhaps the {a} took it],\" said {h}, and the word tasted bitter.", a=t.pick(*ANIMALS))
    t.say("{f} saw it at once. \"[Something is wrong|You are as white as chalk],\" {f.he} said. \"[Tell {e} the truth|A lie is like a stone in a shoe: the longer you walk, the more it hurts].\"",
          "That night {h} lay awake. [One hour passed, then two|The clock struck eleven, then twelve]. In the end {h.he} got up.")
    t.paragraph()
    t.say("{h} fetched the pieces and went to {e}. \"It was me,\" {h.he} said. \"[I broke it and I lied|I am so sorry].\"", "\"I have to tell you something,\" said {h}, and then it all came out, [the {o.n}, the hiding place and the lie|from the beginning to the end].")
    t.say("{e} was silent for a long time. \"[I am sad about the {o.n}|It was only a thing],\" {e.he} said at last, \"[but glad about you|and you are more than a thing].\"", "{e} looked at the pieces, then at {h}. \"[I knew it|I heard the crash],\" {e.he} said. \"[I was waiting to see what you would do|I hoped that you would come].\"")
    t.say("Together they [glued|mended] it. The crack can still be seen, and {e} [likes it better that way|says that it is the best part].", "They worked on it all [evening|Sunday] {p.at}, and [in the end it was almost as good as new|when it was done, they drank cocoa].")
    t.end("The truth weighs less than a lie.", "Broken things can be mended, and so can trust.", "It takes courage to say: it was me.", "Whoever owns up sleeps well.")


def trade(t):
    """A chain of exchanges that ends where it should."""
    others = t.rng.sample([x for x in OBJECTS if x != t.o.n], 3)
    chain = [Thing(x, t.rng.choice(OBJECTS[x][1].split("|"))) for x in others]
    people = t.rng.sample(["a tailor", "a fisherman", "a piper", "a widow", "a soldier", "a tinker", "a clown", "a miner", "a sailor", "a cook", "a gardener", "a painter"], 3)
    t.introduce_hero()
    t.say("All that {h.he} owned was {o.a}. What {h.he} wanted, more than anything, was {want.a} for {e}, who [was always cold|had lost {e.his} own|would be seventy on Sunday].",
          "{e} needed {want.a}, but [there was no money in the house|it was far too dear]. {h} had nothing but {o.a}, and went {p.to}.", want=chain[2])
    t.paragraph()
    have = t.o
    order = t.pick(("First", "Then", "Last of all"), ("At the first corner", "A little further on", "At the end of the day"), ("Before long", "An hour later", "Finally"))
    for when, person, get in zip(order, people, chain):
        noun = person[2:]
        t.say(f"{when} {{h}} met {person} who [needed|was looking for] {{have.a}}. \"Will you take {{get.a}} for it?\" asked the {noun}. \"[Gladly|Done|Why not],\" said {{h}}.",
              f"{when} came {person}. \"[I would give {{get.a}} for that|What a fine {{have.n}}]!\" said the {noun}. So {{h}} gave away {{have}} and got {{get.a}}.",
              f"{when} {{h}} saw {person}, [sitting in the dust|deep in thought]. \"If only I had {{have.a}},\" said the {noun}, \"I would not need {{get}}.\" [They looked at each other and laughed|It was soon settled].",
              have=have, get=get)
        have = get
    t.paragraph()
    t.say("So {h} had begun with {o.a} and ended with {want.a}, and [everyone had got what they needed|nobody had paid a single coin].", "\"From {o.a} to {want.a} in one day,\" said {h} {p.at}, and [shook {h.his} head|could hardly believe it].", want=have)
    t.say("{e} [held {want} up to the light|turned {want} over and over]. \"How did you come by it?\" {e.he} asked. \"[One thing led to another|With the {o.n}, and a lot of talking],\" said {h}.", want=have)
    t.end("What one can spare, another needs.", "A fair trade makes two people happy.", "Begin with what you have.", "Talking to strangers is half of a good trade.")


def seed(t):
    """Patience: something grows over days, and the object helps to guard it."""
    plant, result = t.pick(("a pumpkin seed", "pumpkin"), ("a bean", "beanstalk"), ("a sunflower seed", "sunflower"), ("an acorn", "oak"), ("an apple pip", "apple tree"), ("a tulip bulb", "tulip"), ("a grape stone", "vine"))
    N = NUMBERS
    a, b = sorted(t.rng.sample(range(2, 12), 2))
    t.introduce_hero()
    t.say("{e} put {plant} into {h.his} hand. \"Plant it {p.at},\" {e.he} said, \"and [wait|have patience].\"", "{p.At} {h} found {plant} [between the stones|in the dust] and [decided to plant it|made a hole for it with one finger].", plant=plant)
    t.give_object()
    t.paragraph()
    t.say("On the first day nothing happened. On the second day nothing happened either. On day {a} {h} [wanted to dig it up again|nearly cried]. \"[Leave it|Not yet],\" said {e}, \"[it is working where you cannot see it|roots come before leaves].\"",
          "{h} watered it every {time}. After {a} days there was still [only earth|nothing to be seen]. \"[It is dead|It does not like me],\" said {h}. \"It is [asleep|only slow],\" said {f}, who was {trait}.", a=N[a], time=t.pick("morning", "evening"), trait=t.f.trait)
    t.say("But after {b} days there was [a green dot|a tiny leaf] in the soil, no bigger than [an ant|a crumb].", "On day {b}, early, [the earth had a crack, and out of the crack looked a leaf|something green stood there].", b=N[b])
    t.maybe(.6, t.feel(t.h, True), x=t.h)
    t.paragraph()
    t.say("Then came a [cold night|great storm|hungry goat]. {h} ran out with {o} and [stood guard until morning|did what could be done]. [The leaf was bent, but it was not broken|In the morning it was still there].",
          "One night {weather}, and the little plant shook. {h} [tied it up as well as {h.he} could|built a small wall around it], and left the {o.n} [beside it, to keep it company|next to it, as a sign that somebody cared].", weather=t.weather())
    t.say("Weeks went by, and months. When it was {season} again, the {result} [was taller than {h}|was the finest for miles around|reached up to the window].", "By the next {season} it had grown into a {result}, and {f} came to [admire it|sit beside it].", season=t.season, result=result)
    t.say("{h} [kept one seed and gave it to {f}|gave the first of its seeds to {f}]. \"And now I must wait?\" asked {f}. \"Now you must wait,\" said {h}, [and smiled|just as {e} had said it].")
    t.end("Good things grow slowly.", "Not everything that is quiet is asleep.", "Patience is the best water.", "Who cannot wait cannot harvest.")


def storm(t):
    """Neighbours who did not speak help each other in a storm."""
    t.introduce_hero()
    t.say("Next door lived {f}, a {trait} {f.kind}, and the two had not spoken [since last winter|for a year and a day], because of {why}.", trait=t.f.trait,
          why=t.pick("a fallen fence", "a lost ball", "a bad joke", "a stolen plum", "a muddy carpet", "a song sung too early in the morning"))
    t.introduce_place()
    t.give_object()
    t.paragraph()
    t.say("Then, one {season} night, the storm came. It [tore tiles from the roofs|bent the trees to the ground|howled in every chimney]. {h} [bolted the door|sat by the fire] and thought of {f}, [alone next door|whose roof was old].",
          "All day the sky over the {p.n} had been yellow. At dusk the wind rose, and [by night it roared|soon nobody could stand upright].", season=t.season)
    t.say("There was a knock. Outside stood {f}, wet to the skin. \"[My chimney has fallen|Water is coming in],\" {f.he} said, and [looked at the ground|did not know how to go on].", "Through the noise {h} heard a cry for help. It was {f}'s voice.")
    t.say("{h} [did not think for long|forgot the old quarrel at once]. \"Come in,\" {h.he} said, \"[there is soup|there is room for two].\"", "[A year of silence is long, but a storm is stronger|{h} was still a little angry, but only a little]. {h.He} took {o} and ran.")
    t.paragraph()
    problem, solution, name = t.pick(*OBSTACLES[t.o.use])
    t.say("In the morning they went out together to see the damage. " + problem, "But the worst was still to come. " + problem)
    t.say(solution)
    t.say("\"I should have said sorry long ago,\" said {f}. \"[So should I|I have forgotten what for],\" said {h}.", "\"About that old matter,\" {f} began. \"[What matter|Have some more soup],\" said {h}.")
    t.say("They mended the fence between their houses, and [put a gate in it|left a hole in it on purpose].", "Since then two chairs stand in front of {h}'s door, [one for each of them|and on warm evenings both are taken].")
    t.end("A storm can blow away a quarrel.", "A good neighbour is the best roof.", "It is never too late for a kind word.", "In bad weather one sees who stands beside one.")


def three_wishes(t):
    """Frees a magic creature; wastes two wishes; uses the third for somebody else."""
    creature = t.pick("a silver fish", "a tiny dragon", "a frog with a crown", "a moth with golden wings", "a little man no bigger than a thumb", "a white snake")
    foolish = t.rng.sample([
        ("\"I wish I had [a sausage|a pancake|a bun]!\" said {h} without thinking, and there it lay.", "one wish gone for a bite of food"),
        ("\"I wish it were not so [cold|hot|wet],\" {h.he} grumbled, and for one minute it was not.", "one wish gone for a minute of fine weather"),
        ("\"I wish you would stop talking,\" {h} said to {f}, and {f} opened {f.his} mouth, and not a sound came out.", "poor {f} was as silent as a stone"),
        ("\"I wish my nose were longer, so that I could smell the soup,\" said {h}, and at once it was as long as a carrot.", "now there was a nose to get rid of"),
        ("\"I wish I knew what time it is,\" said {h}, and all the clocks struck at once.", "one wish gone for a glance at the clock")], 2)
    t.introduce_hero()
    t.introduce_place()
    t.give_object()
    t.paragraph()
    t.say("One {time} {h} found {c} {p.at}, [caught between two stones|tangled in a net|stuck in a jar]. With the help of {o} {h.he} set it free.", time=t.pick(*TIMES), c=creature)
    short = creature.split(" with")[0].split(" no ")[0].split(" ", 1)[1]
    t.say("\"Three wishes are yours,\" said the {s}, \"but [think before you speak|choose well].\"", "The {s} bowed. \"You have three wishes,\" it said. \"[Most people waste them|Be careful].\"", s=short)
    t.paragraph()
    t.say("[On the way home|Full of joy] {h} met {f} the {f.kind} and told {f.him} everything. " + foolish[0][0])
    t.say("\"[Oh no|What have you done]!\" It was true: " + foolish[0][1] + ".")
    t.say("[They were both upset|Now {h} was cross with {h.self}]. " + foolish[1][0], )
    t.say("That was the second wish, and " + foolish[1][1] + ".")
    t.paragraph()
    t.say("One wish was left. {h} thought of [gold|a castle|a crown|a ship]. Then {h.he} thought of {e}, who [had been ill since {season}|could hardly walk any more|was always alone].", "Only the third wish remained. \"[Gold|A castle]!\" whispered {f}. But {h} was looking across at the window of {e}, where [no light burned|somebody coughed].", season=t.season)
    t.say("\"I wish that {e} may be [well|happy|well and merry] again,\" said {h}, \"and that all is as it was before.\" [And so it was|At once the door opened, and {e} came out, dancing].", )
    t.maybe(.6, t.feel(t.h, True), x=t.h)
    t.maybe(.5, "The {s} was never seen {p.at} again.", "Sometimes, {p.at}, {h} thinks that the {s} is [watching|smiling].", s=short)
    t.end("The best wish is one for somebody else.", "Think first and wish afterwards.", "Whoever wishes well has wished enough.", "A full heart needs no fourth wish.")


def learning(t):
    """Cannot do something, is laughed at, practises in small steps, can do it when it counts."""
    skill, times, moment = t.pick(
        ("swim", "strokes", "when {f} fell into the water, {h} jumped in without thinking and brought {f.him} to the bank"),
        ("whistle", "notes", "when the sheep ran towards the cliff, {h} whistled so loudly that they all turned round"),
        ("read", "words", "when a notice hung on the bridge, it was {h} who read it aloud: DANGER. And nobody stepped on it"),
        ("climb", "branches", "when {f} sat at the top of the old tree and could not get down, {h} climbed up and showed {f.him} every foothold"),
        ("skate", "steps", "when the doctor had to be fetched across the frozen lake, {h} was there and back before the kettle boiled"),
        ("juggle", "balls", "when the clown fell ill on the day of the feast, {h} stepped into the ring and the children cheered"),
        ("row", "pulls", "when the ferry lost its rope, {h} rowed out and brought everyone back"),
        ("cook", "dishes", "when twenty guests came at once, {h} made a soup that they still talk about"))
    N = NUMBERS
    a = t.rng.randint(2, 5)
    t.introduce_hero()
    t.say("Everybody {p.at} could {s}, and only {h} could not. \"[Even the {an} can do it|You will never learn it],\" [some laughed|said {f}].", "There was one thing that {h} could not do: {h.he} could not {s}. [It was a great secret|{h.He} had tried, and people had laughed].", s=skill, an=t.pick(*ANIMALS))
    t.maybe(.6, t.feel(t.h, False), x=t.h)
    t.paragraph()
    t.say("\"[Nobody is born with it|I could not do it either, at your age],\" said {e}. \"[Come {p.to} every evening|Start small].\"", "{e} had been watching. \"[Tomorrow at six, {p.at}|Come, I will show you],\" {e.he} said. \"[And bring patience|And do not look at the others].\"")
    t.say("As a reward for trying, {e} gave {h.him} {o.a}: \"[To remind you|Look at it when you want to give up].\"", "For luck {h} took along {o}, [which had never let {h.him} down|and set it on a stone, where {h.he} could see it].")
    t.say("On the first day {h} managed {a} {times}. On the second day it was {b}, and on the third it was {c}. [Then came a day when it was only {a} again, and {h} nearly stopped|Each evening {h.he} made a mark on the wall].",
          "First it went badly, then it went less badly. {A} {times}, then {b}, then {c}. \"[Again|Once more],\" said {e}.", a=N[a], A=N[a].capitalize(), b=N[a * 2], c=N[a * 3], times=times)
    t.paragraph()
    t.say("And then, one {season} {time}, " + moment + ".", "Nobody spoke of it any more, until, {p.at}, it mattered: " + moment + ".", season=t.season, time=t.pick(*TIMES[:3]))
    t.say("\"Since when can you {s}?\" asked {f}. \"[Since forty evenings|Since I stopped being ashamed],\" said {h}.", "Nobody laughed now. {e} only nodded, and [touched the {o.n}|winked].", s=skill)
    t.end("Everything is hard before it is easy.", "Small steps lead up every hill.", "Laughing is easy, learning is better.", "Practice is a patient teacher.")


ALL = sorted({use for use, _ in OBJECTS.values()})
LASTING = [use for use in ALL if use not in ("food", "warm")]       # things that are still there at the end
FRAGILE = ["light", "sound", "way", "shine"]
PLOTS = [(journey, ALL), (journey, ALL), (lost, LASTING), (quarrel, LASTING), (contest, ALL), (counting, ALL), (noise, LASTING), (confession, FRAGILE),
         (trade, ALL), (seed, LASTING), (storm, ALL), (three_wishes, LASTING), (learning, LASTING)]


def story(rng, evaluation):
    plot, uses = rng.choice(PLOTS)
    teller = Teller(rng, evaluation, uses)
    plot(teller)
    return teller.text(), teller.triple


def generate(split, count, seed=1):
    """Yields `count` stories of a split; the seed space of each split is its own."""
    for i in range(count):
        rng = random.Random(f"{split}/{seed}/{i}")
        yield story(rng, split == "evaluation")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("train", "calibration", "evaluation"), required=True)
    parser.add_argument("--stories", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="-")
    args = parser.parse_args()
    out = sys.stdout if args.out == "-" else open(args.out, "w", encoding="utf-8", newline="\n")
    triples = set()
    for text, triple in generate(args.split, args.stories, args.seed):
        assert held_out(*triple) == (args.split == "evaluation")
        triples.add(triple)
        out.write(text + END + "\n")
    print(f"{args.split}: {args.stories} stories, {len(triples)} different (hero, object, place) triples", file=sys.stderr)


if __name__ == "__main__":
    main()
