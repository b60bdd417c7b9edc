package prose

// One topic a line: nouns, a bar, verbs.
const topicWords = `
router firmware subnet packet firewall gateway antenna latency hostname port | configure reboot ping bridge flash
database index query schema replica transaction cursor migration backup shard | migrate normalise vacuum join restore
kernel driver module partition bootloader terminal daemon symlink filesystem swap | compile mount install patch boot
recipe sauce oven dough garlic marinade broth pastry skillet onion | bake simmer knead season roast
essay thesis paragraph citation argument draft outline conclusion quotation footnote | rewrite cite summarise shorten edit
garden soil seedling compost hedge tomato pruning mulch greenhouse irrigation | plant prune water fertilise transplant
contract clause tenant landlord deposit lease lawsuit notary statute liability | terminate negotiate sign appeal draft
mortgage pension dividend invoice budget tax ledger portfolio interest deduction | invest refinance deduct audit save
muscle workout marathon stretch protein treadmill posture recovery cardio dumbbell | train stretch lift sprint rest
symptom dosage allergy migraine vaccine clinic blood therapy fever prescription | treat diagnose relieve monitor prescribe
novel chapter character dialogue villain plot narrator stanza metaphor protagonist | describe narrate foreshadow resolve publish
guitar chord melody rhythm tempo chorus drummer amplifier scale harmony | tune transpose strum record compose
camera lens exposure tripod shutter portrait filter sensor lighting negative | focus crop develop expose retouch
engine gearbox brake clutch piston exhaust alternator tyre suspension radiator | replace bleed tighten lubricate inspect
galaxy orbit telescope planet nebula comet gravity satellite eclipse spectrum | observe orbit measure collide expand
enzyme protein membrane gene mutation neuron bacteria hormone chromosome receptor | replicate bind inhibit express digest
equation matrix theorem integral vector polynomial proof derivative graph lemma | prove derive factor integrate bound
reactor catalyst solvent polymer isotope acid titration crystal electron alloy | oxidise dissolve distil react cool
visa itinerary hostel airport luggage passport ferry museum tram reservation | book pack visit travel cancel
kitten puppy vet leash aquarium hamster collar litter kennel parrot | feed groom train adopt vaccinate
empire treaty dynasty revolution colony parliament battle archive crown peasant | conquer reform abolish negotiate rebel
lesson syllabus homework exam pupil worksheet curriculum classroom grade quiz | teach grade explain revise assign
campaign slogan brand audience newsletter banner funnel keyword headline survey | promote segment launch target pitch
warehouse pallet shipment customs carrier inventory forklift barcode supplier freight | ship restock track dispatch unload
interview resume recruiter salary manager colleague deadline meeting promotion resignation | negotiate apply hire delegate resign
painting canvas pigment sculpture easel gallery sketch watercolour fresco brush | paint sketch frame exhibit restore
compiler pointer closure thread iterator struct buffer parser lambda generic | refactor compile debug inline allocate
server container cluster pipeline proxy certificate deployment pod ingress webhook | deploy scale rollback monitor provision
button layout stylesheet component modal form tooltip animation viewport navbar | render align animate centre toggle
model dataset tensor gradient epoch classifier embedding checkpoint tokenizer loss | train tune evaluate label quantise
roof plaster plumbing drill insulation tile cabinet drywall radiator paint | sand install seal fix insulate
bicycle saddle chain pedal derailleur helmet spoke frame puncture handlebar | adjust ride clean fit repair
chess opening bishop endgame tournament gambit clock pawn rook blunder | defend sacrifice castle attack study
turbine battery inverter panel voltage circuit resistor solder capacitor motor | wire solder charge ground test
river forest wetland glacier habitat species erosion drought canopy reef | protect restore sample migrate flood
verb accent grammar dialect noun tense idiom vocabulary translation syllable | translate pronounce conjugate memorise spell
`

const nameWords = `Amina Boris Carla Deniz Elif Farid Greta Hugo Ines Jonas Kofi Lena Marta Nadia Omar Petra Quentin Rosa
Samir Tanja Umar Vera Wanda Xenia Yusuf Zoe Anders Bruna Celine Dario Esther Felix Gita Hanna Igor Jamal Katya Luca Mina Noor`

const cityWords = `Lisbon Osaka Quito Tampere Accra Bergen Cusco Dakar Essen Fresno Ghent Hanoi Izmir Jaipur Kigali Lyon
Medan Nantes Oran Porto Riga Sofia Tunis Utrecht Vigo Warsaw Xalapa York Zagreb Adelaide Bristol Cork`

const adverbWords = `quickly slowly properly twice always suddenly again cleanly safely barely manually quietly remotely
yesterday overnight randomly often gradually exactly partly`

const adjectiveWords = `old new cheap broken small heavy local simple strange modern reliable early hidden spare wrong basic
noisy narrow fragile shared remote bright cold empty final formal gentle huge idle joint keen loose mild plain quick rough
sharp tight urgent vivid warm weekly young public rusty stable thick dry double foreign clever blue green tall short slow`

const goodsWords = `apples tickets pencils bottles chairs stamps cookies marbles lamps shirts tiles boxes coins postcards
eggs ribbons balloons oranges notebooks candles muffins bricks seeds keys plates`

const syllableWords = `ba ki lo mer tan vo ri sul den fa gor hin ja kel mu nar op qui ras tev ul wen xi yor zan bel cor
dri est fin gal hal ith jor kra lum mon nel oro pal`

// One group of words a line that can stand for each other.
const synonymWords = `
explain,describe,clarify,spell out,lay out
write,produce,compose,draft,prepare
answer,reply to,respond to,address
question,query,problem,item
following,given,next,attached
carefully,closely,attentively,with care
step,stage
complete,full,entire,whole
detailed,thorough,in-depth,comprehensive
reasoning,thinking,line of thought,rationale
provide,give,supply,offer
example,instance,sample,case
text,passage,excerpt,piece
summary,digest,abstract,short version
read,study,go through,look at
list,enumerate,name,set out
correct,right,accurate,valid
final,closing,concluding,last
short,brief,concise,compact
important,key,essential,central
solve,work out,figure out,tackle
show,present,display,demonstrate
make sure,ensure,see to it,check
use,apply,employ,rely on
before,ahead of,prior to
then,afterwards,after that,next
also,in addition,besides,as well
generate,create,come up with,build
user,person,reader,customer
task,assignment,job,exercise
expert,specialist,authority,professional
data,information,material,figures
include,contain,cover,mention
return,output,deliver,hand back
determine,decide,find out,establish
identify,point out,spot,pick out
`
