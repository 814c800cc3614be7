"""What is documented nowhere, each as one constant, for the live suite to settle."""

NOT_FOUND_BODY = {"message": "The requested resource was not found"}
MODEL_NOT_FOUND = "The model `{}` does not exist."
TOO_LARGE_BODY = {"message": "Request size limit exceeded"}
RETRY_AFTER_ON_429 = True
RESET_HEADER = "RateLimit-Reset"
TOO_MANY_INPUTS_STATUS = 400
EMPTY_TEXT_REFUSED = True
OVERLONG_TEXT_REFUSED = True  # rather than cut; the wording is vLLM's
DIMENSIONS_REFUSED_WHERE_FIXED = True
MOST_STOPS = 4  # sequences at which an answer may stop, as in vLLM 0.32
SEVERAL_GREEDY_ANSWERS_REFUSED = True  # n over 1 with temperature 0, as vLLM 0.32 does
GRAMMAR_LIMITS = True  # keywords of a schema are refused that xgrammar can't follow, as vLLM does if it has no other
EMPTY_TOOLS_REFUSED = True  # as newer engines do
REMOTE_IMAGES_REFUSED = True
UNKNOWN_MESSAGE_FIELDS_REFUSED = True  # except reasoning_content, which was seen to be ignored
EMBEDDINGS_IN_BATCHES = True
EXPIRED_LINES_ARE_ERRORS = True  # rather than left out of both files
NAMES_BAD_LINE = True  # of a batch file
STATUS_OF_REFUSED_TEMPLATE = 400  # only what a stream does was seen
