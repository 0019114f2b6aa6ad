# Installs the extension that shuts down idle apps into the environment of the Jupyter server that
# starts here. It changes no other package and takes a minute at the most. Whatever goes wrong,
# Studio starts: this script always exits 0, and one line of its log says what it did, or why not.

# ---- Settings: edit them here, or give them to
# ----   jupyter sagemaker-autoshutdown lifecycle-config render

# The version to install, and no other.
VERSION=''
# The source of its wheel. Empty: the package index. Else s3://BUCKET/KEY, https://... or a path
# in the image, of the wheel or of a bundle (lifecycle-config bundle).
WHEEL=''
# The wheel's SHA-256. Empty: not checked.
SHA256=''
# A package index other than pip's own.
INDEX_URL=''

# The idle limit in seconds, and how many seconds before a shutdown users get a warning.
IDLE_TIMEOUT=7200
WARNING_TIME=600
# Whether an open terminal keeps its app up: true or false.
KEEP_TERMINALS=false
# Any other settings of the extension, as a JSON object.
MORE_SETTINGS='{}'

# ---- Nothing to edit below.
